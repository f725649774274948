"""A tracker is trained as a plain loop would, learns made-up dialogues, goes on where it was killed, and is measured as an encoder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from builders.trainings import values, weights
from idsweep.data.dialogues import utterances
from idsweep.data.generated_dialogues import write_release
from idsweep.models.checkpoints import load_model
from idsweep.tracking.dialogues import read_dialogues
from idsweep.tracking.turns import Turn
from idsweep.training.dialogue_state_tracker import train_tracker
from transformers import RobertaConfig, RobertaModel

from unit.tracking.test_inputs import roberta
