"""As much of an API server as `kubectl apply` talks to: discovery, and a store that gives back what a real one would.

In: the kinds of object that it knows. Out: what it was sent in PATCH requests, by object.
Not done: validation, and defaults of fields that kubectl merges one by one.
"""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from k8s.rendering import Object


class ApiServer:
    """The objects that were created, by path, and the patches."""

    def __init__(self, kinds: set[tuple[str, str]]) -> None:
        self.objects: dict[str, Object] = {}
        self.patches: dict[str, Object] = {}
        self._kinds = kinds
        self.port = 0

    @contextmanager
    def running(self) -> Iterator[ApiServer]:
        """Serve on a free port of the loopback."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def get(self, path: str) -> Object | None:
        """The answer to a GET."""
        groups = sorted({version for version, _ in self._kinds if "/" in version})
        if path == "/api":
            return {"kind": "APIVersions", "versions": ["v1"]}
        if path == "/apis":
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(version) for version in groups]}
        for version in ["v1", *groups]:
            if path == (f"/apis/{version}" if "/" in version else f"/api/{version}"):
                resources = [_resource(kind) for known, kind in sorted(self._kinds) if known == version]
                head = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version}
                return {**head, "resources": resources}
        return self.objects.get(path)

    def create(self, path: str, item: Object) -> None:
        """Keep an object, with what a server adds, without what it drops."""
        kept: Object = _without_empty(copy.deepcopy(item))
        spec = kept.get("spec", {})
        for claim in spec.get("volumeClaimTemplates", []):
            claim["spec"].setdefault("volumeMode", "Filesystem")
            claim.setdefault("status", {"phase": "Pending"})
        kept["metadata"].update({"uid": "1", "resourceVersion": "1"})
        self.objects[f"{path}/{item['metadata']['name']}"] = kept


def _without_empty(value: object) -> Object:
    def kept(one: object, key: str) -> object:
        if isinstance(one, dict) and key != "data":
            return {name: kept(part, name) for name, part in one.items() if part not in ("", [], None)}
        return [kept(part, "") for part in one] if isinstance(one, list) else one

    found = kept(value, "")
    assert isinstance(found, dict)
    return found


def _group(version: str) -> Object:
    one = {"groupVersion": version, "version": version.rpartition("/")[2]}
    return {"name": version.rpartition("/")[0], "versions": [one], "preferredVersion": one}


def _resource(kind: str) -> Object:
    lower = kind.lower()
    name = f"{lower[:-1]}ies" if lower.endswith("y") else f"{lower}s"
    verbs = ["create", "get", "patch"]
    return {"name": name, "singularName": lower, "namespaced": kind != "Namespace", "kind": kind, "verbs": verbs}


def _handler(store: ApiServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Head and body of an answer in one packet.
        wbufsize = -1

        def log_message(self, *_: object) -> None:
            pass

        def answer(self, status: int, item: Object) -> None:
            octets = json.dumps(item).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(octets)))
            self.end_headers()
            self.wfile.write(octets)

        def body(self) -> Object:
            found: Object = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            return found

        def do_GET(self) -> None:
            missing = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}
            found = store.get(self.path.partition("?")[0])
            self.answer(200 if found else 404, found or missing)

        def do_POST(self) -> None:
            item = self.body()
            store.create(self.path.partition("?")[0], item)
            self.answer(201, item)

        def do_PATCH(self) -> None:
            path = self.path.partition("?")[0]
            store.patches[path] = self.body()
            self.answer(200, store.objects[path])

    return Handler
