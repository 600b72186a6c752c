"""The decision service: asks a program of the operator about each message before the relay accepts it.

In:   questions: account, sender, number and length of a message, and its text if the configuration says so.
Out:  decisions: tags for the routes, another sender, or a refusal.
Read: `decision_service.py` first. `decision_format` writes requests and reads answers, `decision_cache` keeps answers
    for as long as the service allows, and `decision_client` sends the requests.
"""
