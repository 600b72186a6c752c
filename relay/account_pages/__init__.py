"""My Account: what a customer sees in a browser.

In:   requests with a login.
Out:  pages of HTML, forms that change settings, live counts.
Read: `account_site.py` first. The pages work without JavaScript.
"""
