"""What tests are made of: folders, configurations, models, tables, servers."""
