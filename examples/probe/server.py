"""A server that sallyport probe judges: sallyport probe server stdio: -- python3 server.py

It has the flaw of a first attempt. Find it with the prober.
"""
import base64, hashlib, hmac, os, re, secrets, sys

MECHANISM, USER, PASSWORD = (os.environ["SALLYPORT_" + name] for name in ("MECHANISM", "USER", "PASSWORD"))
PLUS_OFFERED = os.environ["SALLYPORT_PLUS_OFFERED"] == "1"
OPTIONAL = "(?:,(?!m=)[A-Za-z]=[^,]+)*"
BINDING_TYPE, BINDING = os.environ["SALLYPORT_BINDING_TYPE"], base64.b64decode(os.environ["SALLYPORT_BINDING"])


def receive():
    text = sys.stdin.readline().strip().removeprefix("+ ")
    return "" if text == "=" else base64.b64decode(text).decode()


def send(verb, message):
    print(verb, base64.b64encode(message.encode()).decode() or "=", flush=True)


def refuse(words):
    print("no", words, flush=True)
    sys.exit()


def mac(key, text):
    return hmac.digest(key, text if isinstance(text, bytes) else text.encode(), "sha256")


first = receive()
match = re.fullmatch(r"((n|y|p=([^,]+)),(?:a=([^,]+))?,)(n=([^,]+),r=([!-+\--~]+)" + OPTIONAL + ")", first)
if not match:
    refuse("malformed")
header, flag, binding, authzid, bare, name, nonce = match.groups()
if (flag[0] == "p") != MECHANISM.endswith("-PLUS") or binding not in (None, BINDING_TYPE) or flag == "y" and PLUS_OFFERED:
    refuse("binding")
if re.search("=(?!2C|3D)", name + (authzid or "")) or authzid not in (None, name):
    refuse("name")

salt, nonce = secrets.token_bytes(16), nonce + secrets.token_urlsafe(18)
challenge = f"r={nonce},s={base64.b64encode(salt).decode()},i=4096"
send("+", challenge)
final = receive()
match = re.fullmatch(r"(c=([^,]+),r=([^,]+)" + OPTIONAL + "),p=([^,]+)", final)
if not match or match[2] != base64.b64encode(header.encode() + (BINDING if binding else b"")).decode():
    refuse("malformed")

salted = hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), salt, 4096)
auth = ",".join([bare, challenge, match[1]])
proof = bytes(a ^ b for a, b in zip(mac(salted, "Client Key"), mac(hashlib.sha256(mac(salted, "Client Key")).digest(), auth)))
known = name.replace("=2C", ",").replace("=3D", "=") == USER
if not known or not hmac.compare_digest(match[4], base64.b64encode(proof).decode()):
    refuse("authentication failed")
send("ok", "v=" + base64.b64encode(mac(mac(salted, "Server Key"), auth)).decode())
