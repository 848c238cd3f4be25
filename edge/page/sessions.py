"""Who is signed in, and how often somebody may try to; pure: time is an argument, secrets are given out once and kept as hashes."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import OrderedDict
from dataclasses import dataclass, field

from edge.page.users import Role, User
from edge.units import NS_PER_S

MOST_SESSIONS = 200
MOST_KEPT = 2_000  # names and addresses whose failures are remembered
FORGET_S = 3600.0


@dataclass(slots=True)
class Session:
    """One sign-in.

    Args:
        user: who; as he was when he signed in.
        csrf: what each command has to carry, so that no other site can send one.
        began_ns: when.
        seen_ns: the last sign of him.
    """

    user: User
    csrf: str
    began_ns: int
    seen_ns: int


class Sessions:
    """All sessions; they end with the process.

    Args:
        longest_ns: after signing in.
        idle_ns: without a sign of the user; who only looks is left signed in.
    """

    def __init__(self, longest_ns: int, idle_ns: int) -> None:
        self._longest_ns = longest_ns
        self._idle_ns = idle_ns
        self._sessions: OrderedDict[bytes, Session] = OrderedDict()

    def begin(self, user: User, now_ns: int) -> tuple[str, Session]:
        """Sign somebody in; returns the token for his cookie."""
        token = secrets.token_urlsafe(32)
        session = Session(user, secrets.token_urlsafe(24), now_ns, now_ns)
        self._sessions[_key(token)] = session
        while len(self._sessions) > MOST_SESSIONS:
            self._sessions.popitem(last=False)
        return token, session

    def get(self, token: str, user_now: User | None, now_ns: int) -> Session | None:
        """The session of a token; None: there is none, it is over, or its user was removed or changed since."""
        session = self._sessions.get(_key(token))
        if session is None:
            return None
        idle = session.user.role is not Role.READ_ONLY and now_ns - session.seen_ns > self._idle_ns
        if idle or now_ns - session.began_ns > self._longest_ns or user_now != session.user:
            self.end(token)
            return None
        return session

    def name_of(self, token: str) -> str | None:
        """Whose token it is."""
        session = self._sessions.get(_key(token))
        return None if session is None else session.user.name

    def end(self, token: str) -> None:
        """Sign out."""
        self._sessions.pop(_key(token), None)


def same_secret(given: str, expected: str) -> bool:
    """Whether two texts agree, in a time that tells nothing of where they differ."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode())


@dataclass(frozen=True, slots=True)
class Limit:
    """So many failures are free; each further one doubles the wait, up to the longest."""

    free: int
    longest_s: float


@dataclass(slots=True)
class Throttle:
    """Slows down who guesses passwords: by name and address together, and more gently by each of them alone.

    By a name alone the longest wait is short, because else anybody could keep a user out.
    """

    failures: OrderedDict[str, tuple[int, int]] = field(default_factory=OrderedDict)

    def wait_s(self, name: str, address: str, now_ns: int) -> float:
        """How long until this may be tried again, s; 0: now."""
        return max(self._wait_s(key, limit, now_ns) for key, limit in _keys(name, address))

    def failed(self, name: str, address: str, now_ns: int) -> None:
        """It was a wrong password."""
        for key, _ in _keys(name, address):
            count, last_ns = self.failures.pop(key, (0, now_ns))
            if now_ns - last_ns > FORGET_S * NS_PER_S:
                count = 0
            self.failures[key] = (count + 1, now_ns)
        while len(self.failures) > MOST_KEPT:
            self.failures.popitem(last=False)

    def succeeded(self, name: str, address: str) -> None:
        """It was the right one: this name from this address is free again."""
        self.failures.pop(_keys(name, address)[0][0], None)

    def _wait_s(self, key: str, limit: Limit, now_ns: int) -> float:
        count, last_ns = self.failures.get(key, (0, 0))
        if count < limit.free:
            return 0.0
        pause_s = min(limit.longest_s, 2.0 ** min(count - limit.free, 20))
        return max(0.0, pause_s - (now_ns - last_ns) / NS_PER_S)


def _keys(name: str, address: str) -> list[tuple[str, Limit]]:
    name = name.lower()[:64]
    return [
        (f"both {address} {name}", Limit(5, 300.0)),
        (f"name {name}", Limit(20, 10.0)),
        (f"from {address}", Limit(20, 60.0)),
    ]


def _key(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()
