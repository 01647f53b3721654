"""The bare counterpart, as people write it: a line from a serial port, published at QoS 1.

python benchmarks/relay_bare.py DEVICE BROKER_PORT
"""

import sys

import paho.mqtt.client as mqtt
import serial
from paho.mqtt.enums import CallbackAPIVersion

client = mqtt.Client(CallbackAPIVersion.VERSION2, "bare")
client.connect("127.0.0.1", int(sys.argv[2]))
client.loop_start()
with serial.Serial(sys.argv[1], 115200) as port:
    while True:
        line = port.readline()
        client.publish("bare/line", line, qos=1)
