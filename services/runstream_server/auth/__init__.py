"""Who may do what: tokens, and a decision about each call.

* A token belongs to a workspace and has a role; that of a run reaches this run and those below it. Only SHA-256 of its
  secret is kept.
* `access.py` says for each method which role it needs and where its requests say what they name; a method that is not
  there is refused. `guard.py` decides, `rpc/guarding.py` asks it before a method is called.
* What a caller does not reach is as if it did not exist, in the same words. That is decided by names alone, or by who
  is above a run: nothing of what is named is looked at.
* What was looked up is believed for `AuthConfig.check_seconds`, and open streams are checked as often, so that who
  loses a token is out within a minute, everywhere. No call looks into the database for it otherwise.
* Where tokens are not required nothing of this happens.
"""

from pathlib import Path

from runstream_server.auth.calling import caller
from runstream_server.auth.model import Caller, Role, Token
from runstream_server.auth.service import Auth, open_auth
from runstream_server.auth.tokens import NewToken, RunToken, RunTokens, Tokens

MIGRATIONS = Path(__file__).parent / "migrations"

__all__ = [
    "MIGRATIONS",
    "Auth",
    "Caller",
    "NewToken",
    "Role",
    "RunToken",
    "RunTokens",
    "Token",
    "Tokens",
    "caller",
    "open_auth",
]
