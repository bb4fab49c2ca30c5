"""A method that notes every epoch it begins, takes its time, and comes to harm; copied next to a study as mine.py."""

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Literal

import torch

from core.config.schema import NonNegativeFloat
from core.evaluation.clustering import predict
from core.evaluation.metrics import contingency, nmi
from core.evaluation.outputs import Scores
from core.evaluation.scoring import Scoring
from core.methods.cc import Method as Base

HERE = Path(__file__).parent


class NmiAlone(Scoring):
    """The NMI of the head. For more scores each process of a trial would import scikit-learn: a third of its start."""

    def __init__(self, trial):
        self.samples, self.labels = trial.samples, trial.data.part("train").labels

    def __call__(self, method, *, due, **_):
        if not due:
            return None
        clusters = predict(method, self.samples).probabilities.argmax(dim=1).numpy()
        return Scores({"nmi": nmi(contingency(clusters, self.labels))}, {})


class Method(Base):
    """CC; where there is no file `mended` beside this one, it pauses and its second epoch goes as `harm` says.

    Where several trials run, those that did not begin first may pause for longer (`others`): so nobody has to be quick
    who does something when the first one is done, and the others still run.
    """

    scores = ("nmi",)

    def __init__(
        self,
        setting,
        *,
        pause: NonNegativeFloat = 0.0,
        others: NonNegativeFloat = 0.0,
        harm: Literal[
            "none", "crash", "nan", "hang", "hang_once", "held", "memory", "interrupt_twice", "bad_node"
        ] = "none",
    ):
        super().__init__(setting)
        self.seed, self.pause, self.others, self.harm = setting.seed, pause, others, harm
        self.factor = 1.0

    def begin_epoch(self, epoch, _samples):
        with (HERE / "epochs").open("a") as file:
            file.write(f"{self.seed} {self.harm} {epoch} {os.getpid()}\n")
        if (HERE / "mended").exists():
            return
        time.sleep(self.pause + self.others * (not self.is_first()))
        if epoch == 2:
            getattr(self, self.harm)()

    def is_first(self):
        """Whether this trial is the one that began first: it ends long before those that take their time."""
        with contextlib.suppress(FileExistsError), (HERE / "first").open("x") as file:
            file.write(str(self.seed))
        return (HERE / "first").read_text() == str(self.seed)

    def losses(self, batch):
        found = super().losses(batch)
        return found | {"loss": found["loss"] * self.factor}

    def scoring(self, trial):
        return NmiAlone(trial)

    def none(self):
        pass

    def crash(self):
        raise RuntimeError("mine broke\nbadly")

    def nan(self):
        self.factor = float("nan")

    def memory(self):
        torch.empty(10**10, dtype=torch.uint8)

    def hang(self):
        time.sleep(10**6)

    def hang_once(self):
        if not (HERE / "hung").exists():
            (HERE / "hung").touch()
            self.hang()

    def held(self):
        """It goes on when it is let go."""
        while not (HERE / f"let-{self.seed}-go").exists():
            time.sleep(0.05)

    def bad_node(self):
        """Dies on the bad node; elsewhere it waits until three have died there."""
        if "BAD_NODE" in os.environ:
            (HERE / f"died-{self.seed}").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        while len(list(HERE.glob("died-*"))) < 3:
            time.sleep(0.05)

    def interrupt_twice(self):
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
