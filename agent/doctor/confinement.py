"""Check of what shuts the agent's children in: a child does it to itself and tries to get out."""

from collections.abc import Iterator

from agent import sandbox
from agent.config import Children
from agent.doctor.finding import Finding, failed, ok, warning

KERNEL = "use a kernel with CONFIG_SECCOMP_FILTER on x86-64 or aarch64"


def confinement(limits: Children) -> Iterator[Finding]:
    """What holds, by trying it."""
    proof = sandbox.prove()
    if isinstance(proof, str):
        yield failed("sandbox", proof, "see the packages and [children]; the decoder's child starts the same way")
        return
    held, escapes = proof
    detail = held.described() + (f"; a child could {', '.join(escapes)}" if escapes else "")
    if escapes and limits.sandbox == "required":
        advice = f'{KERNEL}; until then patches are not decoded and models come raw, or set children.sandbox = "if-available"'
        yield failed("sandbox", detail, advice)
    elif escapes:
        yield warning(
            "sandbox", detail, f"{KERNEL}: a hostile patch that broke the decoder could do what is named here"
        )
    else:
        yield ok("sandbox", detail)
