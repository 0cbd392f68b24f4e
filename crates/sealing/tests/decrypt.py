"""Decrypts a file of mode aes-gcm: decrypt.py KEYFILE RUN PATH FILE. Written from docs/encryption.md."""
import struct
import sys

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

key_file, run, path, file = sys.argv[1:]
key, sealed = open(key_file, "rb").read(), open(file, "rb").read()
head, body = sealed[:24], sealed[24:]
assert head[:10] == b"exsealed\x01\x01"
size, prefix = struct.unpack(">I", head[12:16])[0] + 16, head[16:23]
bound = f"{run}:{path}".encode()
aes = AESGCM(HKDF(algorithm=hashes.SHA256(), length=32, salt=head, info=bound).derive(key))
chunks = [body[at : at + size] for at in range(0, len(body), size)]
for number, chunk in enumerate(chunks):
    last = number == len(chunks) - 1
    sys.stdout.buffer.write(aes.decrypt(prefix + struct.pack(">IB", number, last), chunk, bound))
