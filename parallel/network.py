"""Which network interface a rank talks through."""

import os
import socket
import struct
from fcntl import ioctl

_SIOCGIFADDR = 0x8915
"""Linux: read an interface's IPv4 address."""


def use_interface_of(address: str) -> None:
    """Make gloo and NCCL use the interface that has this node's IPv4 `address`.

    Left alone, gloo binds to what the host name resolves to, which on many clusters is the loopback: ranks on
    another node then never reach it. Interfaces that the environment names already are kept. Gloo takes a name as it
    is; NCCL takes it for the beginning of one, where eth1 is also eth10, unless "=" stands before it.

    Raises:
        ValueError: no interface of this node has the address.
    """
    for variable, exactly in (("GLOO_SOCKET_IFNAME", ""), ("NCCL_SOCKET_IFNAME", "=")):
        if variable not in os.environ:
            os.environ[variable] = exactly + interface_of(address)


def interface_of(address: str) -> str:
    """Name of the interface that has the IPv4 address.

    Raises:
        ValueError: none has it.
    """
    addresses = {name: _address_of(name) for _, name in socket.if_nameindex()}
    for name, own in addresses.items():
        if own == address:
            return name
    raise ValueError(f"no network interface of this node has the address {address}: {addresses}")


def _address_of(interface: str) -> str | None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            answer = ioctl(probe, _SIOCGIFADDR, struct.pack("256s", interface.encode()[:15]))
        except OSError:  # the interface has no IPv4 address
            return None
    return socket.inet_ntoa(answer[20:24])
