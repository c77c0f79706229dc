#!/usr/bin/env python3
"""A stream of numbered packets, for tests.

Usage: udp_stream.py receive PORT COUNT          prints "ready", then what arrived, as JSON
       udp_stream.py send ADDRESS PORT COUNT GAP_US PAYLOAD_BYTES   prints when each was sent, as JSON

Times are of CLOCK_MONOTONIC, which all hosts of a lab share. After the last packet the sender sends farewells, which end
the receiver; they are not counted.
"""
import json
import socket
import struct
import sys
import time

NUMBER = struct.Struct("=q")
FAREWELL = -1
SO_RCVBUFFORCE = 33  # of Linux; this module of Python does not name it
BUFFER_BYTES = 64 << 20


def receive(port, count):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
        except OSError:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        sock.bind(("0.0.0.0", port))
        sock.settimeout(30.0)
        print("ready", flush=True)
        numbers = []
        times = []
        buffer = bytearray(65536)
        view = memoryview(buffer)
        clock = time.monotonic_ns
        try:
            while True:
                sock.recv_into(view)
                (number,) = NUMBER.unpack_from(buffer)
                if number == FAREWELL:
                    break
                if 0 <= number < count:
                    times.append(clock())
                    numbers.append(number)
        except socket.timeout:
            pass
    with open("/proc/net/snmp", encoding="ascii") as file:
        names, values = [line.split()[1:] for line in file if line.startswith("Udp: ")]
    json.dump({"number": numbers, "received_ns": times,
               "overflows": int(dict(zip(names, values))["RcvbufErrors"])}, sys.stdout)


def send(address, port, count, gap_us, payload_bytes):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((address, port))
        payload = bytearray(max(payload_bytes, NUMBER.size))
        clock = time.monotonic_ns
        sent = []
        gap_ns = gap_us * 1000
        begin = clock() + 1_000_000
        for number in range(count):
            NUMBER.pack_into(payload, 0, number)
            due = begin + number * gap_ns
            if sent:
                # What was missed while this process did not run is made up for at twice the rate: sent at once,
                # it would overflow the queues of this machine's own kernel.
                due = max(due, sent[-1] + gap_ns // 2)
            # Short gaps are waited out awake: a sleep ends when the scheduler finds the time.
            while (left := due - clock()) > 0:
                if left > 200_000:
                    time.sleep((left - 100_000) / 1e9)
            sent.append(clock())
            sock.send(payload)
        NUMBER.pack_into(payload, 0, FAREWELL)
        for _ in range(30):
            time.sleep(0.02)
            try:
                sock.send(payload)
            except ConnectionRefusedError:
                break
    json.dump({"sent_ns": sent}, sys.stdout)


if __name__ == "__main__":
    if sys.argv[1] == "receive":
        receive(int(sys.argv[2]), int(sys.argv[3]))
    else:
        send(sys.argv[2], *(int(word) for word in sys.argv[3:]))
