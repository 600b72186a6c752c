"""Makes the operator's pages about the configuration, for `OperatorSite`."""

from collections.abc import Callable, Mapping
from typing import Protocol

from twisted.web.template import Tag

from relay.account_pages.html import Content
from relay.operator.actions import OperatorActions
from relay.operator.admin_site import AdminRequest
from relay.operator.configuration_views import configuration_page, reload_page
from relay.operator.entry_requests import EditsEntries
from relay.operator.operator_html import Frame
from relay.operator.overview import Looked
from relay.operator.part_file_views import FILES_SHOWN, file_page, files_card
from relay.operator.refusal import Refusal
from relay.routing.explanation import Explanation


class ConfiguredDaemon(Looked, Protocol):
    """The parts of the daemon that the pages need.

    :ivar editor: None: the relay was started without a configuration file.
    """

    editor: EditsEntries | None


class ConfigurationSite:
    """Makes the pages below `/page/configuration`.

    :param explain: explains a message's route; it returns a text if it can't.
    """

    def __init__(
        self,
        daemon: ConfiguredDaemon,
        actions: OperatorActions,
        explain: Callable[[Mapping[str, str]], Explanation | str],
    ) -> None:
        self._daemon = daemon
        self._actions = actions
        self._explain = explain

    async def page(self, request: AdminRequest, frame: Frame) -> tuple[str, list[Content]]:
        """Makes the title and the content of the page of a path.

        :raises Refusal: there is no such page.
        """
        match request.path[2:]:
            case []:
                return "Configuration", await self._configuration(request, frame)
            case ["reload"]:
                return "Reload", reload_page(frame, await self._actions.reload_dry_run())
            case ["files"]:
                return "Files of conf.d", [await self._files(self._editor(), request)]
            case ["files", "accounts" | "carriers" | "routes" as table, name]:
                return f"{table}/{name}.yaml", file_page(await self._editor().file(table, name))
            case _:
                raise Refusal("there is no such page.")

    async def _configuration(self, request: AdminRequest, frame: Frame) -> list[Content]:
        daemon = self._daemon
        asked = {name: value.strip() for name, value in request.query.items() if name != "told"}
        last = None if daemon.reloader is None else daemon.reloader.last
        explained = self._explain(asked) if "to" in asked else None
        content = configuration_page(frame, last, list(daemon.config.accounts), daemon.flow.routes, asked, explained)
        return content if daemon.editor is None else [*content, await self._files(daemon.editor, request)]

    async def _files(self, editor: EditsEntries, request: AdminRequest) -> Tag:
        return files_card(await editor.files(request.query.get("after", ""), FILES_SHOWN))

    def _editor(self) -> EditsEntries:
        if self._daemon.editor is None:
            raise Refusal("this relay was not started with a configuration file", 409)
        return self._daemon.editor
