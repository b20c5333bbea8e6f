"""The publisher's side of trust: keys, and signing what devices may install.

Each model line has a small TUF repository on the server (docs/trust.md). Its root names who may sign; its targets metadata, here also called
the list, names the live variants. Both are signed here and nowhere else. What the server shows is signed on top of only after it was checked
against the root that lies in the trust folder: a stolen server must not get its own entries signed by an honest publisher.
"""
