"""The peer beside: panoramisk (PyPI) on the same bytes. usage: panoramisk_peer.py PORT; see README.md here."""
import asyncio, sys, time
from panoramisk import Manager

count, first, used, last = 0, None, None, None

async def main(port):
    global count
    manager = Manager(host="127.0.0.1", port=port, username="x", secret="x", events="on", ping_delay=3600, encoding="utf8")

    @manager.register_event("*")
    def _(_, message):
        global count, first, used, last
        if first is None:
            first, used = time.time(), time.process_time()
        count += 1
        if count % 1000 == 0:
            last = (count, time.time(), time.process_time())

    manager.on_disconnect = lambda *_: None
    await manager.connect()
    before = -1
    while count != before or count == 0:
        before = count
        await asyncio.sleep(1)
    events, wall, processor = last or (count, time.time(), time.process_time())
    print(f"panoramisk: {count} events, {int(events / (wall - first))} /s by the clock, "
          f"{int(events / (processor - used))} /s of one core")

asyncio.run(main(int(sys.argv[1])))
