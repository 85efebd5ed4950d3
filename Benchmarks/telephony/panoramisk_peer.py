"""The peer beside: panoramisk (PyPI) on the same bytes. usage: panoramisk_peer.py PORT; see README.md here."""
import asyncio, sys, time
from panoramisk import Manager

count, first, used = 0, None, None

async def main(port):
    manager = Manager(host="127.0.0.1", port=port, username="x", secret="x", ping_delay=0, encoding="utf8")

    @manager.register_event("*")
    def _(_, message):
        global count, first, used
        if first is None:
            first, used = time.time(), time.process_time()
        count += 1

    await manager.connect()
    last = -1
    while count != last or count == 0:
        last = count
        await asyncio.sleep(1)
    idle = 1.0
    wall = max(1e-9, time.time() - first - idle)
    print(f"panoramisk: {count} events, {int(count / wall)} /s by the clock, {int(count / (time.process_time() - used))} /s of one core")

asyncio.run(main(int(sys.argv[1])))
