"""Between messages and the words of searching."""

import re
from bisect import bisect_right
from collections.abc import Sequence

from runstream.api.logs.v1 import log_service_pb2 as messages
from runstream_server.errors import InvalidField, InvalidPageToken
from runstream_server.logs.aliases import candidates
from runstream_server.logs.convert import encode_time
from runstream_server.logs.errors import InvalidCursor
from runstream_server.logs.model import Mark
from runstream_server.logs.search.model import (
    FoundMatches,
    Line,
    Match,
    RunPlace,
    SearchEnd,
    SearchMessage,
    SearchPlace,
    SearchQuery,
)
from runstream_server.logs.search.patterns import Pattern, Regex, literal_pattern
from runstream_server.names import RunName, WorkspaceName
from runstream_server.paging import page_token, read_page_token
from runstream_server.paths import check_path

_MOST_RUNS = 1_000
_MOST_PATHS = 100
_MOST_PATTERN = 1_000
_MOST_LINES = 100
_MOST_MATCHES = 10_000
_DEFAULT_MATCHES = 1_000
_NUMBER = re.compile(r"[0-9]{1,18}")
_ENDS = {
    None: messages.SEARCH_END_UNSPECIFIED,
    SearchEnd.COMPLETE: messages.SEARCH_END_COMPLETE,
    SearchEnd.MATCHES: messages.SEARCH_END_MATCHES,
    SearchEnd.TIME: messages.SEARCH_END_TIME,
}


def decode_search(request: messages.SearchLogsRequest) -> SearchQuery:
    """Takes what is searched for; raises InvalidField, InvalidPattern or InvalidCursor if that cannot be."""
    workspace = WorkspaceName.parse(request.parent, "parent").workspace
    return SearchQuery(
        workspace=workspace,
        runs=_decode_runs(request, workspace),
        filter=request.filter,
        paths=_decode_paths(request.paths),
        pattern=_decode_pattern(request),
        lines_before=_decode_count("lines_before", request.lines_before, 0, _MOST_LINES),
        lines_after=_decode_count("lines_after", request.lines_after, 0, _MOST_LINES),
        max_matches=_decode_count("max_matches", request.max_matches or _DEFAULT_MATCHES, 1, _MOST_MATCHES),
        place=_decode_cursor(request),
    )


def _decode_runs(request: messages.SearchLogsRequest, workspace: str) -> Sequence[RunName]:
    runs = [RunName.parse(name, f"runs[{index}]") for index, name in enumerate(request.runs)]
    if runs and request.filter:
        raise InvalidField("filter", "expected `runs` or `filter`; got both")
    if len(runs) > _MOST_RUNS or len(set(runs)) < len(runs):
        raise InvalidField("runs", f"expected up to {_MOST_RUNS} runs, each once; got {len(runs)}")
    for index, run in enumerate(runs):
        if run.workspace != workspace:
            raise InvalidField(f"runs[{index}]", f"{run} is not of workspaces/{workspace}")
    return runs


def _decode_paths(paths: Sequence[str]) -> Sequence[str]:
    if len(paths) > _MOST_PATHS:
        raise InvalidField("paths", f"expected up to {_MOST_PATHS} paths; got {len(paths)}")
    found = [each for index, path in enumerate(paths) for each in candidates(check_path(path, f"paths[{index}]"))]
    return list(dict.fromkeys(found))


def _decode_pattern(request: messages.SearchLogsRequest) -> Pattern:
    match request.WhichOneof("pattern"):
        case "literal":
            if not 1 <= len(request.literal) <= _MOST_PATTERN or b"\n" in request.literal:
                raise InvalidField("literal", f"expected 1 to {_MOST_PATTERN} bytes without a line feed")
            return literal_pattern(request.literal, ignore_case=request.ignore_case)
        case "regex":
            if not 1 <= len(request.regex) <= _MOST_PATTERN:
                raise InvalidField("regex", f"expected 1 to {_MOST_PATTERN} characters; got {len(request.regex)}")
            return Regex(request.regex, ignore_case=request.ignore_case)
        case _:
            raise InvalidField("literal", "required: `literal` or `regex`")


def _decode_count(field: str, count: int, least: int, most: int) -> int:
    if not least <= count <= most:
        raise InvalidField(field, f"expected {least} to {most}; got {count}")
    return count


def _decode_cursor(request: messages.SearchLogsRequest) -> SearchPlace | None:
    try:
        parts = read_page_token(request.cursor, _search(request), 6)
    except InvalidPageToken:
        raise InvalidCursor from None
    if parts is None:
        return None
    page, index, run, path, offset, line = parts
    if not all(_NUMBER.fullmatch(number) for number in (index, offset, line)):
        raise InvalidCursor
    return SearchPlace(RunPlace(page, int(index), run), path, int(offset), int(line))


def _search(request: messages.SearchLogsRequest) -> Sequence[str]:
    """What a cursor belongs to."""
    alike = messages.SearchLogsRequest()
    alike.CopyFrom(request)
    alike.ClearField("cursor")
    alike.ClearField("max_matches")
    return ("SearchLogs", alike.SerializeToString(deterministic=True).hex())


def encode_search(message: SearchMessage, request: messages.SearchLogsRequest) -> messages.SearchLogsResponse:
    """Makes the message of a search."""
    return messages.SearchLogsResponse(
        matches=_encode_matches(message.found) if message.found is not None else (),
        cursor=_encode_cursor(message.place, request) if message.place is not None else "",
        searched_bytes=message.searched_bytes,
        ended=_ENDS[message.ended],
    )


def _encode_cursor(place: SearchPlace, request: messages.SearchLogsRequest) -> str:
    run = place.run
    parts = [run.page, str(run.index), run.run, place.path, str(place.offset), str(place.line)]
    return page_token(_search(request), parts)


def _encode_matches(found: FoundMatches) -> Sequence[messages.LogMatch]:
    return [_encode_match(match, found) for match in found.matches]


def _encode_match(match: Match, found: FoundMatches) -> messages.LogMatch:
    return messages.LogMatch(
        run=str(found.file.run),
        path=found.file.path,
        line=_encode_line(match.line, found.marks),
        ranges=[messages.TextRange(start_offset=start, end_offset=end) for start, end in match.ranges],
        before=[_encode_line(line, found.marks) for line in match.before],
        after=[_encode_line(line, found.marks) for line in match.after],
    )


def _encode_line(line: Line, marks: Sequence[Mark]) -> messages.LogLine:
    place = bisect_right(marks, max(line.end_offset - 1, line.offset), key=lambda mark: mark.end_offset)
    return messages.LogLine(
        number=line.number,
        offset=line.offset,
        size_bytes=line.size_bytes,
        data=line.data,
        data_offset=line.data_offset,
        write_time=encode_time(marks[place].write_time) if place < len(marks) else None,
    )
