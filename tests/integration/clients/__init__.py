"""Programs on SMPP libraries of others: customers and carriers for `tests.integration.test_other_clients`.

Each is started as a process of its own. A customer prints `{"ids": [...], "receipts": [[id, stat], ...]}`.
"""
