"""What a sweep will take, told before anything runs: jobs, hours, disk, memory, downloads.

models    how large a model is, before it is fetched or trained
texts     how long the texts of a dataset are, before they are read
costs     what one job costs, from these sizes and from measured throughput
jobs      a sweep's jobs by rule, and the cost of each
plan      all of it added up
page      the plan for people
"""
