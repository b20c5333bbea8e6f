"""The generated part of a page that people write the rest of: what stands between two marks."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Section:
    """Between a mark that begins and one that ends, each a line of its own, with an empty line after the one and before the other."""

    begin: str
    end: str

    def put(self, page: str, text: str) -> str:
        """The page with this text there; what is around it stays.

        Raises:
            ValueError: the page has no such marks.
        """
        before, _, after = self._parts(page)
        return f"{before}{self.begin}\n\n{text.strip()}\n\n{self.end}{after}"

    def of(self, page: str) -> str:
        """What stands there, without the empty lines.

        Raises:
            ValueError: the page has no such marks.
        """
        return self._parts(page)[1].strip()

    def _parts(self, page: str) -> tuple[str, str, str]:
        before, begin, rest = page.partition(self.begin)
        inside, end, after = rest.partition(self.end)
        if not begin or not end:
            raise ValueError(f"no lines {self.begin} and {self.end}, one after the other")
        return before, inside, after
