"""An SMTP server for the tests: keeps each accepted message as a file and refuses some recipients on purpose.

Usage: smtp_server.py PORT DIRECTORY
"""

import asyncio
import os
import sys

from aiosmtpd.smtp import SMTP

REFUSALS = {
    "tempfail": "451 4.3.0 Try again later",
    "bounce": "550 5.1.1 No such mailbox",
}


class Keeper:
    """Answers RCPT by the table above and writes each message into the directory."""

    def __init__(self, directory):
        self.directory = directory
        self.count = 0

    async def handle_RCPT(self, server, session, envelope, address, options):
        refusal = REFUSALS.get(address.partition("@")[0].lower())
        if refusal:
            return refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        self.count += 1
        name = os.path.join(self.directory, f"{self.count:06}")
        with open(name, "wb") as file:
            file.write(envelope.content)
        # A reader looks for .eml only, and so never sees half a message.
        os.rename(name, name + ".eml")
        return "250 Message accepted"


async def main(port, directory):
    keeper = Keeper(directory)
    loop = asyncio.get_running_loop()

    def connection():
        # The fixed name spares a look-up of our own host, which can take seconds.
        return SMTP(keeper, hostname="localhost", enable_SMTPUTF8=True, loop=loop)

    server = await loop.create_server(connection, "127.0.0.1", port)
    await server.serve_forever()


asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
