# SPDX-License-Identifier: LGPL-2.1-or-later
"""A stand-in of Intel's PCS for a made-up Intel (SIMULATED: throw-away keys): paths, headers and statuses as in Intel's API, version 4."""

import datetime
import http.server
import threading
import urllib.parse

import td_chain as chain

TCB, QE, ROOT_CRL = f"/tdx/certification/v4/tcb?fmspc={chain.FMSPC.upper()}", "/tdx/certification/v4/qe/identity", "/IntelSGXRootCA.der"
PLATFORM_CRL, PROCESSOR_CRL = (f"/sgx/certification/v4/pckcrl?ca={ca}&encoding=der" for ca in ("platform", "processor"))
ALL = TCB, QE, ROOT_CRL, PLATFORM_CRL


def stamp(days=0):
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")


def dates(issued=-1, next_update=29):
    return {"issueDate": stamp(issued), "nextUpdate": stamp(next_update)}


def quoted(*certificates):
    return urllib.parse.quote(chain.pem(*certificates).decode(), safe="")


def answers(world, days=(-1, 29)):
    """path -> (header's name or None, its value, body), current from `days` on, up to."""
    signed = quoted(world.signer, world.root)
    listed = quoted(world.ca, world.root)
    end = datetime.datetime.now() + datetime.timedelta(days=days[1])
    return {TCB: ("TCB-Info-Issuer-Chain", signed, world.sign("tcbInfo", world.tcb_info(**dates(*days)))),
            QE: ("SGX-Enclave-Identity-Issuer-Chain", signed, world.sign("enclaveIdentity", world.qe_identity(**dates(*days)))),
            PLATFORM_CRL: ("SGX-PCK-CRL-Issuer-Chain", listed, chain.crl(chain.CA, world.ca_key, end=end)),
            ROOT_CRL: (None, None, chain.crl(chain.ROOT, world.root_key, end=end))}  # fmt: skip


class Pcs(http.server.ThreadingHTTPServer):
    """mood: None, or what every request meets (a function of the handler that answers)."""

    request_queue_size = 256

    def __init__(self, world, **more):
        super().__init__(("127.0.0.1", 0), PcsHandler)
        self.answers, self.mood, self.requests, self.lock = answers(world, **more), None, [], threading.Lock()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def change(self, path, header=None, body=None):
        name, old_header, old_body = self.answers[path]
        self.answers[path] = (name, old_header if header is None else header, old_body if body is None else body)

    def handle_error(self, request, client_address):
        pass

    def stop(self):
        self.shutdown()
        self.server_close()


class PcsHandler(http.server.BaseHTTPRequestHandler):
    def reply(self, status, body=b"no", headers=()):
        self.send_response(status)
        for name, value in [("Content-Length", str(len(body))), *headers]:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        s = self.server
        with s.lock:
            s.requests.append(self.path)
        if s.mood:
            return s.mood(self)
        if self.path not in s.answers:
            return self.reply(404)
        name, value, body = s.answers[self.path]
        return self.reply(200, body, [(name, value)] if name and value else [])

    def log_message(self, *_):
        pass
