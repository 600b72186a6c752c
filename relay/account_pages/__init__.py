"""My Account: the customer's pages in a browser.

In:   requests of customers who have logged in.
Out:  HTML pages, forms that change settings, live counts.
Read: `account_site.py` first. The pages work without JavaScript.
"""
