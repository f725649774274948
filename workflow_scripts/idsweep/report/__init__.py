"""The page that a sweep ends with: its results in sentences, figures and tables, and what made them."""
