"""Verifies a webhook's message with the reference implementation of Standard Webhooks.

Standard input: {"secret": …, "headers": {…}, "body": …}. Prints the type of the message, or fails.
"""

import json
import sys

from standardwebhooks import Webhook

message = json.load(sys.stdin)
verified = Webhook(message["secret"]).verify(message["body"], message["headers"])
print(verified["type"])
