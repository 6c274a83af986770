"""GPUs as XLA is told of them, so that it compiles for one that is not there.

What a multiprocessor holds: CUDA C++ Programming Guide, "Technical Specifications per Compute Capability"; how many
there are, clocks and caches: NVIDIA's white papers on the A100 and H100.
"""

from dfjax.parallel import hardware

# Multiprocessors; shared memory of a block and of a multiprocessor, bytes; L2 cache, bytes; GHz; compute capability.
CHIPS = {
    "a100": (108, 166_912, 167_936, 40 * 2**20, 1.41, "major: 8 minor: 0"),
    "h100": (132, 232_448, 233_472, 50 * 2**20, 1.98, "major: 9 minor: 0"),
    "h200": (132, 232_448, 233_472, 50 * 2**20, 1.98, "major: 9 minor: 0"),
}


def text(device: hardware.Device) -> str:
    """XLA's description of a GPU (``GpuTargetConfigProto`` as text); ``device`` is one of ``CHIPS``."""
    cores, block, core, cache, clock, capability = CHIPS[device.name]
    fpus = 64 if device.name == "a100" else 128
    memory = int(device.usable_bytes / hardware.GPU_FRACTION)
    return f"""
gpu_device_info {{
  threads_per_block_limit: 1024 threads_per_warp: 32 threads_per_core_limit: 2048
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  shared_memory_per_block: 49152 shared_memory_per_block_optin: {block} shared_memory_per_core: {core}
  registers_per_core_limit: 65536 registers_per_block_limit: 65536
  core_count: {cores} fpus_per_core: {fpus} clock_rate_ghz: {clock} l2_cache_size: {cache}
  memory_bandwidth: {int(device.hbm_bandwidth)} device_memory_size: {memory}
  cuda_compute_capability {{ {capability} }}
}}
platform_name: "CUDA"
runtime_version {{ major: 13 }}
dnn_version_info {{ major: 9 minor: 12 }}
device_description_str: "{device.kind}"
"""
