"""Holds an idle CUDA context until its standard input ends: python3 keep_warm.py NAME [NAME]

The names are the fields of the adapter that may hold its device's.

A GPU with a CUDA context keeps its clocks up between pieces of work. Nothing is launched on it and no
setting is touched. Only the driver's own library is needed.
"""

import ctypes
import os
import signal
import sys


def letters(text):
    return "".join(c for c in text.lower() if c.isascii() and c.isalnum())


def has_name(fields, name):
    """Whether one of an adapter's fields has a device's name: stacks part its words differently."""
    return letters(name) != "" and any(letters(name) in letters(field) for field in fields)


def main():
    libraries = os.environ.pop("LIGHTHOUSE_LIBRARY_PATH", None)
    if libraries and not os.environ.get("LD_LIBRARY_PATH"):
        os.environ["LD_LIBRARY_PATH"] = libraries
        os.execv(sys.executable, [sys.executable, "-u"] + sys.argv)
    # A terminal's Ctrl-C reaches this process too, and the clock has to stay up until the benchmark stops.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    wanted = [field for field in sys.argv[1:] if field]
    try:
        cuda = ctypes.CDLL("libcuda.so.1" if os.name != "nt" else "nvcuda.dll")
    except OSError:
        print("there is no CUDA driver library", flush=True)
        return

    def call(name, *arguments):
        code = getattr(cuda, name)(*arguments)
        if code != 0:
            raise RuntimeError("%s gave error %d" % (name, code))

    try:
        call("cuInit", 0)
        count = ctypes.c_int()
        call("cuDeviceGetCount", ctypes.byref(count))
        chosen = None
        found = []
        for i in range(count.value):
            device = ctypes.c_int()
            text = ctypes.create_string_buffer(256)
            call("cuDeviceGet", ctypes.byref(device), i)
            call("cuDeviceGetName", text, 256, device)
            name = text.value.decode(errors="replace")
            found.append((device, name))
            if chosen is None and (not wanted or has_name(wanted, name)):
                chosen = found[-1]
        # A stack may call its adapter otherwise; of one device there is no doubt.
        if chosen is None and len(found) == 1:
            chosen = found[0]
        if chosen is None:
            print("no CUDA device is the adapter %s" % (", ".join(wanted) or "of this run"), flush=True)
            return
        device, name = chosen
        context = ctypes.c_void_p()
        call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        call("cuCtxSetCurrent", context)
        print("holding " + name, flush=True)
        sys.stdin.read()
        cuda.cuDevicePrimaryCtxRelease_v2(device)
    except (RuntimeError, AttributeError) as error:
        print(error, flush=True)


if __name__ == "__main__":
    main()
