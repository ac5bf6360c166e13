"""The ways in which the apps of the tests call the upstream, each by its name.

The apps know nothing of tracing. The number of a call says which request made it.
"""

import asyncio
import concurrent.futures
import http.client
import os
import threading
import urllib.request

UPSTREAM = os.environ["UPSTREAM"]
HOST, PORT = UPSTREAM.split("//")[1].split(":")


def optional(name):
    try:
        return __import__(name)
    except ImportError:
        return None


requests, urllib3, httpx, aiohttp, boto3 = map(
    optional, ("requests", "urllib3", "httpx", "aiohttp", "boto3")
)

if httpx:
    # anyio 3 imports it late, and breaks where two threads are the first to.
    optional("anyio._backends._asyncio")

pool = concurrent.futures.ThreadPoolExecutor(8)
if requests:
    session = requests.Session()
    session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=64))
if urllib3:
    manager = urllib3.PoolManager(maxsize=64)
if httpx:
    client = httpx.Client(trust_env=False)
if boto3:
    s3 = boto3.session.Session().client(
        "s3",
        endpoint_url=UPSTREAM,
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="secret",
        region_name="eu-central-1",
    )
released = threading.Event()


def by_http_client(path):
    connection = http.client.HTTPConnection(HOST, int(PORT))
    connection.request("GET", path)
    connection.getresponse().read()
    connection.close()


def by_chunks(path):
    connection = http.client.HTTPConnection(HOST, int(PORT))
    connection.request("POST", path, body=iter([b"one", b"two"]), encode_chunked=True)
    connection.getresponse().read()
    connection.close()


def by_urllib(path):
    urllib.request.urlopen(UPSTREAM + path).read()


def by_urllib3(path):
    manager.request("GET", UPSTREAM + path)


def by_requests(path):
    requests.post(UPSTREAM + path, json={"amount": 1200})


def by_session(path):
    session.get(UPSTREAM + path)


def by_httpx(path):
    client.post(UPSTREAM + path, json={"amount": 1200})


def by_boto3(path):
    s3.put_object(Bucket="bucket", Key=path.lstrip("/"), Body=b"body")


def by_executor(path):
    pool.submit(by_session, path).result()


def by_map(path):
    list(pool.map(by_session, [path]))


def by_thread(path):
    thread = threading.Thread(target=by_session, args=(path,))
    thread.start()
    thread.join()


def by_loop(path):
    asyncio.run(by_async_httpx_once(path))


async def by_async_httpx_once(path):
    async with httpx.AsyncClient(trust_env=False) as one:
        await one.get(UPSTREAM + path)


# Background jobs, which answer the request first and call when they are told that the answer is there.


def after_in_thread(path):
    def job():
        released.wait()
        by_session(path)

    threading.Thread(target=job).start()


def after_in_executor(path):
    def job():
        released.wait()
        by_session(path)

    pool.submit(job)


def after_by_timer(path):
    def later():
        released.wait()
        by_session(path)

    threading.Timer(0.01, later).start()


def in_daemon(path):
    thread = threading.Thread(target=by_session, args=(path,), daemon=True)
    thread.start()
    thread.join()


def by_callback(path):
    """A callback runs in whichever thread ends the job, which may be another's."""
    added, done = threading.Event(), threading.Event()
    job = pool.submit(added.wait)
    job.add_done_callback(lambda _: (by_session(path), done.set()))
    added.set()
    done.wait()


# A pool whose only thread is started by a request that is still open when others use it.
held_pool = concurrent.futures.ThreadPoolExecutor(1)
let_go = threading.Event()


def hold():
    held_pool.submit(int).result()
    let_go.wait()


def by_held_pool(path):
    held_pool.submit(by_session, path).result()


SYNC = {
    name: call
    for name, call in dict(globals()).items()
    if name.startswith(("by_", "after_", "in_")) and not asyncio.iscoroutinefunction(call)
}

# The same for those who await.

shared = {}


def shared_httpx():
    if "httpx" not in shared:
        shared["httpx"] = httpx.AsyncClient(
            trust_env=False, limits=httpx.Limits(max_connections=64)
        )
    return shared["httpx"]


def shared_aiohttp():
    if "aiohttp" not in shared:
        shared["aiohttp"] = aiohttp.ClientSession()
    return shared["aiohttp"]


async def by_async_httpx(path):
    await shared_httpx().post(UPSTREAM + path, json={"amount": 1200})


async def by_aiohttp(path):
    async with shared_aiohttp().post(UPSTREAM + path, json={"amount": 1200}) as answer:
        await answer.read()


async def by_gather(path):
    await asyncio.gather(asyncio.sleep(0), by_async_httpx(path))


async def by_task(path):
    task = asyncio.ensure_future(by_aiohttp(path))
    await task


async def by_wait_for(path):
    await asyncio.wait_for(by_aiohttp(path), 30)


async def by_sleep(path):
    await asyncio.sleep(0.002)
    await by_async_httpx(path)


async def by_default_executor(path):
    await asyncio.get_running_loop().run_in_executor(None, by_session, path)


async def by_to_thread(path):
    if hasattr(asyncio, "to_thread"):
        await asyncio.to_thread(by_session, path)
    else:
        await by_default_executor(path)


async def by_blocking(path):
    by_session(path)


# A consumer that is made by a request that is still open when it works for others.
queue = []


async def consume():
    while True:
        path, done = await queue[0].get()
        await by_aiohttp(path)
        done.set_result(None)


async def async_hold():
    queue.append(asyncio.Queue())
    shared["consumer"] = asyncio.ensure_future(consume())
    # As the manual of asyncio has it, so that it is not collected. Nobody waits for it by that.
    shared["consumer"].add_done_callback({shared["consumer"]}.discard)
    await asyncio.get_running_loop().run_in_executor(None, let_go.wait)


async def in_consumer(path):
    while not queue:
        await asyncio.sleep(0.001)
    done = asyncio.get_running_loop().create_future()
    queue[0].put_nowait((path, done))
    await done


def later(path):
    loop = asyncio.get_running_loop()

    async def job():
        await loop.run_in_executor(None, released.wait)
        await by_aiohttp(path)

    return job


async def after_in_task(path):
    job = asyncio.ensure_future(later(path)())
    shared.setdefault("jobs", set()).add(job)
    job.add_done_callback(lambda done: shared["jobs"].discard(done))


async def after_by_call_later(path):
    asyncio.get_running_loop().call_later(0.01, lambda: asyncio.ensure_future(later(path)()))


ASYNC = {
    name: call
    for name, call in dict(globals()).items()
    if name.startswith(("by_", "after_", "in_")) and asyncio.iscoroutinefunction(call)
}
