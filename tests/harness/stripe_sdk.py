"""Signs webhooks as Stripe does and verifies signatures, with Stripe's own SDK.

Each line of the input is a request, and each line of the output the answer to one, in JSON:
{"payload", "secret", "timestamp"} -> {"header"}
{"payload", "secret", "header"} -> {"valid"}
The end of the input ends the program.
"""

import json
import sys

from stripe import SignatureVerificationError, WebhookSignature


def answer(payload, secret, timestamp=None, header=None):
    if header is None:
        return {"header": WebhookSignature.generate_signature_header(payload, secret, timestamp)}
    try:
        WebhookSignature.verify_header(payload, header, secret)
    except SignatureVerificationError:
        return {"valid": False}
    return {"valid": True}


for line in sys.stdin.buffer:
    print(json.dumps(answer(**json.loads(line))), flush=True)
