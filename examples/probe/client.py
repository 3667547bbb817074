"""A client that sallyport probe judges: sallyport probe client stdio: -- python3 client.py

It ends with exit code 0 if it believes that it is logged in.
"""
import base64, hashlib, hmac, os, secrets, sys

MECHANISM, USER, PASSWORD = (os.environ["SALLYPORT_" + name] for name in ("MECHANISM", "USER", "PASSWORD"))
BINDING_TYPE, BINDING = os.environ["SALLYPORT_BINDING_TYPE"], base64.b64decode(os.environ["SALLYPORT_BINDING"])


def exchange(message):
    print("+", base64.b64encode(message.encode()).decode(), flush=True)
    verb, _, text = sys.stdin.readline().strip().partition(" ")
    return verb, base64.b64decode(text).decode() if verb in ("+", "ok") else text


def mac(key, text):
    return hmac.digest(key, text.encode(), "sha256")


header, binding = ("p=" + BINDING_TYPE + ",,", BINDING) if MECHANISM.endswith("-PLUS") else ("n,,", b"")
own = secrets.token_urlsafe(18)
bare = "n=" + USER.replace("=", "=3D").replace(",", "=2C") + ",r=" + own
verb, challenge = exchange(header + bare)
if verb != "+" or len(challenge.split(",")) < 3 or challenge[:2] != "r=":
    sys.exit("refused: no challenge")
nonce, salt, iterations = (part[2:] for part in challenge.split(",")[:3])
if not nonce.startswith(own) or not 4096 <= int(iterations) <= 1_000_000 or ",m=" in challenge:
    sys.exit("refused: the challenge")

salted = hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), base64.b64decode(salt), int(iterations))
key = mac(salted, "Client Key")
final = "c=" + base64.b64encode(header.encode() + binding).decode() + ",r=" + nonce
auth = ",".join([bare, challenge, final])
proof = bytes(a ^ b for a, b in zip(key, mac(hashlib.sha256(key).digest(), auth)))
verb, last = exchange(final + ",p=" + base64.b64encode(proof).decode())
signature = base64.b64encode(mac(mac(salted, "Server Key"), auth)).decode()
sys.exit(verb != "ok" or last.split(",")[0] != "v=" + signature or ",m=" in last)
