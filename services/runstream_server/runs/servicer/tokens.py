"""The methods about tokens."""

from runstream.api.runs.v1 import run_history_service_pb2 as messages
from runstream_server.auth import caller
from runstream_server.names import TokenName
from runstream_server.runs.convert.decoding import decode_workspace_name
from runstream_server.runs.convert.tokens import decode_new_token, encode_token
from runstream_server.runs.limits import Checks
from runstream_server.runs.servicer.base import Context, Methods


class TokenMethods(Methods):
    """The methods about tokens."""

    async def CreateToken(self, request: messages.CreateTokenRequest, context: Context) -> messages.CreateTokenResponse:
        workspace = decode_workspace_name(request.parent, "parent")
        checks = Checks()
        request_id = checks.request_id("request_id", request.request_id)
        new = decode_new_token(checks, request, workspace)
        checks.done()
        token, secret = await self._rules.tokens.create(caller(), new, request_id)
        return messages.CreateTokenResponse(token=encode_token(token), secret=secret)

    async def ListTokens(self, request: messages.ListTokensRequest, context: Context) -> messages.ListTokensResponse:
        workspace = decode_workspace_name(request.parent, "parent")
        checks = Checks()
        page_size = checks.page_size(request.page_size)
        checks.done()
        page, following = await self._rules.tokens.list(
            workspace, page_size, request.page_token, with_runs=request.show_run_tokens
        )
        return messages.ListTokensResponse(tokens=map(encode_token, page), next_page_token=following)

    async def GetOwnToken(self, request: messages.GetOwnTokenRequest, context: Context) -> messages.GetOwnTokenResponse:
        token = caller().token
        return messages.GetOwnTokenResponse(token=encode_token(token) if token else None)

    async def RevokeToken(self, request: messages.RevokeTokenRequest, context: Context) -> messages.RevokeTokenResponse:
        token = await self._rules.tokens.revoke(TokenName.parse(request.name))
        return messages.RevokeTokenResponse(token=encode_token(token))
