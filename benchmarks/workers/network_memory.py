"""What the network alone holds in memory: load the backbone, embed some batches, print the peak in MB."""

import json
import sys

import numpy as np

from benchmarks.workers.searching import peak_mb
from birdsearch.backbones import load_backbone

backbone = load_backbone(sys.argv[1])
for _ in range(5):
    backbone.embed_pixels(np.zeros((32, *backbone.input_size, 3), np.uint8))
print(json.dumps({"peak_mb": peak_mb()}))
