"""Last words where nobody reads them."""

import os
import subprocess
import sys

PROGRAM = "import os, sys; from dfjax.core import streams; sys.stdin.read(); streams.say('gone'); os._exit(7)"


def test_a_process_ends_as_it_means_to_though_nobody_reads_its_words():
    read, write = os.pipe()
    process = subprocess.Popen([sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stderr=write)
    os.close(write)
    os.close(read)
    process.communicate(b"", timeout=60)
    assert process.returncode == 7
