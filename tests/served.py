"""The web server as a process of its own, forked from one that has loaded everything: killed, it is back at once."""

import multiprocessing

import uvicorn

from truing.feedback.store import projects
from truing.feedback.store.database import Database
from truing.feedback.web.app import create_app
from truing.feedback.web.site import Site


def serve(path: str, port: int) -> None:
    """Serve the only project of a store until the process ends."""
    db = Database.open(path)
    db.checkpoint_aside()
    with db.reading() as connection:
        project = projects.project_named(connection)
    uvicorn.run(create_app(Site(db, project), requests_a_second=0), port=port, log_level="critical")


def begin(path: str, port: int) -> multiprocessing.process.BaseProcess:
    """Start it; it may not listen yet."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    server = context.Process(target=serve, args=(path, port), daemon=True)
    server.start()
    return server
