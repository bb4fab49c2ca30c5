"""Readers of what trackers were told: TensorBoard's event files, and a server that speaks MLflow's REST calls."""

import json
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit


def events(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """The scalars of a folder of event files by tag, as TensorBoard shows them.

    What an earlier file has from the step on at which a later one starts its session is hidden, see
    `tensorboard/backend/event_processing/event_accumulator.py`.
    """
    from tensorboardX.proto.event_pb2 import Event, SessionLog

    found: dict[str, list[tuple[int, float]]] = {}
    for file in sorted(folder.iterdir(), key=lambda one: one.stat().st_mtime_ns):
        data, at = file.read_bytes(), 0
        while at + 12 <= len(data):
            (length,) = struct.unpack_from("<Q", data, at)
            event = Event.FromString(data[at + 12 : at + 12 + length])
            at += 16 + length
            if event.HasField("session_log") and event.session_log.status == SessionLog.START:
                found = {tag: [one for one in values if one[0] < event.step] for tag, values in found.items()}
            for value in event.summary.value:
                if value.WhichOneof("value") == "simple_value":
                    found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


class MlflowServer(ThreadingHTTPServer):
    """Keeps runs in memory; `runs` maps a run's id to its name, status, tags, params and metrics.

    Attributes:
        hangs: whether it answers nothing.
        n_requests: the number of requests.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.experiments: dict[str, str] = {}
        self.runs: dict[str, dict] = {}
        self.hangs, self.n_requests = threading.Event(), 0
        self._thread = threading.Thread(target=self.serve_forever)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.hangs.clear()
        self.shutdown()
        self._thread.join()
        self.server_close()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def history(self, run_id: str, metric: str) -> list[tuple[int, float]]:
        return [(int(one.get("step", 0)), one["value"]) for one in self.runs[run_id]["metrics"] if one["key"] == metric]

    def answer(  # noqa: PLR0911 - one return for each call
        self, call: str, asked: dict
    ) -> tuple[int, dict]:
        if call == "experiments/get-by-name":
            if asked["experiment_name"] not in self.experiments:
                return 404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "none"}
            name = asked["experiment_name"]
            return 200, {"experiment": {"experiment_id": self.experiments[name], "name": name}}
        if call == "experiments/create":
            self.experiments[asked["name"]] = str(len(self.experiments) + 1)
            return 200, {"experiment_id": self.experiments[asked["name"]]}
        if call == "runs/create":
            run_id = f"{len(self.runs):032}"
            tags = {one["key"]: one["value"] for one in asked["tags"]}
            self.runs[run_id] = {"status": "RUNNING", "tags": tags, "params": {}, "metrics": []}
            return 200, {"run": self._run(run_id)}
        if call == "runs/search":
            wanted = asked["filter"].partition("= ")[2].strip("'")
            found = [one for one, run in self.runs.items() if run["tags"]["conclus.run"] == wanted]
            return 200, {"runs": [self._run(one) for one in found]}
        run = self.runs[asked["run_id"]]
        if call == "runs/log-batch":
            run["metrics"] += asked.get("metrics", [])
            run["params"] |= {one["key"]: one["value"] for one in asked.get("params", [])}
        elif call == "runs/set-tag":
            run["tags"][asked["key"]] = asked["value"]
        elif call == "runs/update":
            run["status"] = asked.get("status", run["status"])
        elif call == "runs/get":
            return 200, {"run": self._run(asked["run_id"])}
        else:
            return 404, {"error_code": "ENDPOINT_NOT_FOUND", "message": call}
        return 200, {"run_info": self._run(asked["run_id"])["info"]} if call == "runs/update" else {}

    def _run(self, run_id: str) -> dict:
        run = self.runs[run_id]
        last = {one["key"]: one for one in run["metrics"]}
        info = {"run_id": run_id, "run_uuid": run_id, "experiment_id": "1", "status": run["status"], "start_time": 1}
        return {"info": info | {"artifact_uri": "", "lifecycle_stage": "active"}, "data": {"metrics": [*last.values()]}}


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self._do({name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()})

    def do_POST(self):
        self._do(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    do_PATCH = do_POST  # noqa: N815 - the base class looks for it

    def _do(self, asked):
        self.server.n_requests += 1
        while self.server.hangs.is_set():
            threading.Event().wait(0.05)
        call = urlsplit(self.path).path.partition("/mlflow/")[2]
        status, told = self.server.answer(call, asked)
        content = json.dumps(told).encode()
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
        except OSError:  # The client has left.
            self.close_connection = True

    def log_message(self, *_):
        pass
