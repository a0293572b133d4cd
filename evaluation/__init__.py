"""The loss model against measured losses of real models: ``make evaluate``.

Importing this sets one BLAS thread a process, before numpy is imported: the processes share the
cores.
"""

import os

for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"
