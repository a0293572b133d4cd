"""The ids of packaged profiles that are promised, by family."""

from __future__ import annotations

CONTRACT = (
    "h100-sxm",
    "h100-pcie",
    "h100-nvl",
    "h200-sxm",
    "h800-sxm",
    "h20",
    "b200-sxm",
    "gb200",
    "b300-sxm",
    "gb300",
    "rtx-pro-6000",
    "rubin-r200",
    "a100-sxm",
    "l40s",
    "rtx-4090",
    "xeon-platinum-8480",
    "xeon-platinum-8490h",
    "xeon-platinum-8592",
    "xeon-6980p",
    "epyc-9575f",
    "jetson-agx-orin-64gb",
    "jetson-agx-orin-32gb",
    "jetson-orin-nx-16gb",
    "jetson-orin-nano-8gb",
    "drive-orin-x",
    "jetson-agx-thor-t5000",
    "jetson-t4000",
    "drive-thor-x",
    "drive-thor-u",
    *(
        OF_CLASSES := (
            "mi300x",
            "mi325x",
            "mi350x",
            "mi355x",
            "rtx-3090",
            "rtx-5090",
            "rtx-6000-ada",
            "dgx-spark",
            "l4",
            "a10",
            "t4",
            "gh200",
            "gh200-144gb",
            "gaudi-3",
            "ascend-910b",
            "ascend-910c",
            "tpu-v5e",
            "tpu-v6e",
            "tpu-v7",
            "trainium2",
            "trainium3",
            "apple-m3-ultra",
            "apple-m4-max",
            "strix-halo",
            "graviton4",
        )
    ),
)
"""Those of OF_CLASSES inherit fractions from a class."""

ORIN = tuple(i for i in CONTRACT if "orin" in i)
THOR = ("jetson-agx-thor-t5000", "jetson-t4000", "drive-thor-x", "drive-thor-u")
XEON = tuple(i for i in CONTRACT if i.startswith("xeon"))

# Not in the collection of facts the others were written from: their profiles cite their own.
LATER = ("rtx-4090", "epyc-9575f", *OF_CLASSES)
