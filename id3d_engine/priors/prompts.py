"""The words that reach the text encoder, built in one place for training and for use alike.

Layout: `CAPTION, VIEW[, EXPRESSION], DOMAIN WORDS`, e.g.
`"a young woman with freckles, left side view, normal map"`.

Whose job is what:

- `prompt(caption, view, domain)` is the text condition (`y_text` and the camera `c`) of adapters and
  of everything at use time. The expression is NOT in it: it comes through its own tokens
  (`expression_text`), which the decoupled cross-attention weighs by lambda_exp.
- `prompt(caption, view, domain, expression)` is for training a base from nothing, about half of the
  time, so that it stays a text-to-image model of its own.
- `UNCONDITIONAL` is the dropped text, for the prompt and for the expression.

Light: torch is not imported here.
"""

from __future__ import annotations

from ..errors import InputError

DOMAIN_WORDS: dict[str, str] = {"geometry": "normal map", "albedo": "albedo map"}
DOMAINS: tuple[str, ...] = tuple(DOMAIN_WORDS)

DEFAULT_CAPTION = "a head"
UNCONDITIONAL = ""


def check_domain(domain: str) -> str:
    """`domain` itself.

    Raises:
        InputError: it is neither "geometry" nor "albedo".
    """
    if domain not in DOMAIN_WORDS:
        raise InputError(f"unknown prior domain {domain!r}: choose one of {', '.join(DOMAINS)}")
    return domain


def prompt(caption: str | None, view: str, domain: str, expression: str | None = None) -> str:
    """One prompt in the layout above.

    Args:
        caption: What the head is (`y_text`); None or blank means "a head".
        view: The camera as text, `render.cameras.view_text`; blank leaves it out.
        domain: "geometry" (camera-space normals) or "albedo".
        expression: A descriptor; only for training a base from nothing.

    Raises:
        InputError: unknown domain.

    Example:
        >>> prompt("an old man", "front view", "albedo")
        'an old man, front view, albedo map'
        >>> prompt(None, "back view, close-up of the face", "geometry")
        'a head, back view, close-up of the face, normal map'
    """
    check_domain(domain)
    parts = [_clean(caption) or DEFAULT_CAPTION, _clean(view), _clean(expression), DOMAIN_WORDS[domain]]
    return ", ".join(part for part in parts if part)


def expression_text(descriptor: str | None) -> str:
    """What the text encoder reads as `y_exp`: the descriptor alone; blank is the unconditional one."""
    return _clean(descriptor)


def _clean(text: str | None) -> str:
    return " ".join((text or "").split()).strip(" ,")
