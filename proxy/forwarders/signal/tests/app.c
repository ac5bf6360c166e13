/* An app for the tests of the rules: servers of several kinds, and requests whose path says what is done
 * while they are served. Each call names the request that makes it: `x-cause` is the other end's port of
 * the connection that it came in by, or 0 where none does. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static int via_port;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static int port_of(int fd, bool other_end) {
    struct sockaddr_storage name;
    socklen_t length = sizeof name;
    if ((other_end ? getpeername : getsockname)(fd, (struct sockaddr *)&name, &length) != 0) return 0;
    return ntohs(name.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&name)->sin6_port
                                            : ((struct sockaddr_in *)&name)->sin_port);
}

/* --- calls --------------------------------------------------------------------------------------- */

static struct sockaddr_in via_address(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)via_port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static int via(void) {
    struct sockaddr_in address = via_address();
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) fail("connect");
    return fd;
}

static int call_text(char *text, size_t size, int cause, const char *label) {
    return snprintf(text, size, "GET /call HTTP/1.1\r\nhost: upstream\r\nx-cause: %d\r\nx-case: %s\r\n\r\n",
                    cause, label);
}

static const char answer_text[] = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/* The upstream answers with the same text. */
static void hear(int fd) {
    char bytes[sizeof answer_text];
    size_t length = 0;
    while (length < sizeof answer_text - 1) {
        ssize_t count = recv(fd, bytes + length, sizeof answer_text - 1 - length, 0);
        if (count < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (count <= 0) fail("answer");
        length += (size_t)count;
    }
}

static void call_on(int fd, int cause, const char *label) {
    char text[256];
    int length = call_text(text, sizeof text, cause, label);
    if (write(fd, text, (size_t)length) != length) fail("call");
    hear(fd);
}

static void call(int cause, const char *label) {
    int fd = via();
    call_on(fd, cause, label);
    close(fd);
}

/* --- requests ------------------------------------------------------------------------------------ */

struct request {
    int fd;
    int port;
    int kept;
    char path[64];
    char head[4096];
};

static int listener(void) {
    struct sockaddr_in6 address = {.sin6_family = AF_INET6};
    int fd = socket(AF_INET6, SOCK_STREAM, 0), off = 0;
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 128) != 0) fail("listen");
    printf("%d\n", port_of(fd, false));
    fflush(stdout);
    return fd;
}

/* By which function a head is read: the tests go through all. */
static ssize_t read_by(const char *how, int fd, char *to, size_t size) {
    struct iovec parts[2] = {{to, 5}, {to + 5, size - 5}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    if (!strcmp(how, "recv")) return recv(fd, to, size, 0);
    if (!strcmp(how, "recvfrom")) return recvfrom(fd, to, size, 0, NULL, NULL);
    if (!strcmp(how, "readv")) return readv(fd, parts, 2);
    if (!strcmp(how, "recvmsg")) return recvmsg(fd, &message, 0);
#ifdef __GLIBC__
    extern ssize_t __read_chk(int, void *, size_t, size_t);
    extern ssize_t __recv_chk(int, void *, size_t, size_t, int);
    extern ssize_t __recvfrom_chk(int, void *, size_t, size_t, int, struct sockaddr *, socklen_t *);
    if (!strcmp(how, "__read_chk")) return __read_chk(fd, to, size, size);
    if (!strcmp(how, "__recv_chk")) return __recv_chk(fd, to, size, size, 0);
    if (!strcmp(how, "__recvfrom_chk")) return __recvfrom_chk(fd, to, size, size, 0, NULL, NULL);
#endif
    return read(fd, to, size);
}

static const char *read_how = "read";

static bool read_head(int fd, struct request *request) {
    size_t length = 0;
    request->fd = fd;
    request->port = port_of(fd, true);
    for (;;) {
        ssize_t count = read_by(read_how, fd, request->head + length, sizeof request->head - 1 - length);
        if (count <= 0) return false;
        length += (size_t)count;
        request->head[length] = '\0';
        if (strstr(request->head, "\r\n\r\n")) break;
    }
    return sscanf(request->head, "%*s %63s", request->path) == 1;
}

static void answer(struct request *request) {
    if (write(request->fd, answer_text, sizeof answer_text - 1) < 0) fail("write");
}

/* --- what is done while a request is served ------------------------------------------------------- */

static void *calls_alone(void *request) {
    call(0, ((struct request *)request)->path);
    return NULL;
}

static void *serves_the_rest(void *given) {
    struct request *request = given;
    call(request->port, request->path);
    answer(request);
    return NULL;
}

static void *closes(void *fd) {
    close(*(int *)fd);
    return NULL;
}

static void in_thread(void *(*what)(void *), void *with) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, what, with) != 0) fail("pthread_create");
    pthread_join(thread, NULL);
}

static void *hears(void *fd) {
    hear(*(int *)fd);
    return NULL;
}

/* A connection of another kind, and its other end. */
static int stranger, stranger_client;

static int accept_unix(int *client) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t length = sizeof(sa_family_t);
    int from = socket(AF_UNIX, SOCK_STREAM, 0);
    /* The kernel finds a name. */
    if (bind(from, (struct sockaddr *)&address, length) != 0 || listen(from, 1) != 0) fail("listen");
    length = sizeof address;
    getsockname(from, (struct sockaddr *)&address, &length);
    *client = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(*client, (struct sockaddr *)&address, length) != 0) fail("connect");
    int fd = accept(from, NULL, NULL);
    close(from);
    return fd;
}

static ssize_t write_by(const char *how, int fd, char *text, size_t length) {
    struct iovec parts[2] = {{text, 3}, {text + 3, length - 3}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    struct mmsghdr messages = {.msg_hdr = message};
    if (!strcmp(how, "send")) return send(fd, text, length, MSG_NOSIGNAL);
    if (!strcmp(how, "sendto")) return sendto(fd, text, length, 0, NULL, 0);
    if (!strcmp(how, "writev")) return writev(fd, parts, 2);
    if (!strcmp(how, "sendmsg")) return sendmsg(fd, &message, 0);
    if (!strcmp(how, "sendmmsg")) return sendmmsg(fd, &messages, 1, 0);
    return write(fd, text, length);
}

/* A connection that is closed without libc, whose number a file gets that looks like a request. */
static void reuse(struct request *request) {
    char name[] = "/tmp/throughline-signal-XXXXXX";
    int file = mkstemp(name), was = request->fd;
    unlink(name);
    if (write(file, "GET /file HTTP/1.1\r\n\r\n", 22) != 22) fail("write");
    syscall(SYS_close, was);
    syscall(SYS_dup3, file, was, 0);
    syscall(SYS_close, file);
    lseek(was, 0, SEEK_SET);
    char bytes[64];
    if (read(was, bytes, sizeof bytes) <= 0) fail("read");
    call(0, request->path);
    close(was);
}

static void pass(struct request *request, int over) {
    char control[CMSG_SPACE(sizeof(int))] = {0}, byte = 'x';
    struct iovec part = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &request->fd, sizeof(int));
    if (sendmsg(over, &message, 0) < 0) fail("sendmsg");
}

static int receive(int over) {
    char control[CMSG_SPACE(sizeof(int))], byte;
    struct iovec part = {&byte, 1};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    if (recvmsg(over, &message, 0) <= 0) return -1;
    int fd;
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
    return fd;
}

static void nonblocking(int fd) { fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK); }

static void wait_for(int fd, short what) {
    struct pollfd one = {fd, what, 0};
    if (poll(&one, 1, 10000) != 1) fail("poll");
}

static int begin_to_connect(void) {
    struct sockaddr_in address = via_address();
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0 && errno != EINPROGRESS)
        fail("connect");
    return fd;
}

static int listening;
static int kept_call = -1;

/* Only newer libcs have it. */
static int (*close_all)(unsigned, unsigned, int);

/* True: answer it too. */
static bool handle(struct request *request) {
    const char *path = request->path;
    int port = request->port;
    char text[256];
    int length = call_text(text, sizeof text, port, path);

    if (!strcmp(path, "/nothing")) return true;
    if (!strcmp(path, "/kept")) {
        if (kept_call < 0) kept_call = via();
        call_on(kept_call, port, path);
    } else if (!strcmp(path, "/twice")) {
        call(port, path);
        call(port, path);
    } else if (!strcmp(path, "/after")) {
        answer(request);
        call(0, path);
        return false;
    } else if (!strcmp(path, "/streams")) {
        if (write(request->fd, answer_text, sizeof answer_text - 3) < 0) fail("write");
        call(0, path);
        if (write(request->fd, "ok", 2) < 0) fail("write");
        return false;
    } else if (!strcmp(path, "/sendfile")) {
        char name[] = "/tmp/throughline-signal-XXXXXX";
        int file = mkstemp(name);
        unlink(name);
        if (write(file, answer_text, sizeof answer_text - 1) < 0) fail("write");
        lseek(file, 0, SEEK_SET);
        if (sendfile(request->fd, file, NULL, sizeof answer_text - 1) < 0) fail("sendfile");
        close(file);
        call(0, path);
        return false;
    } else if (!strcmp(path, "/splice")) {
        int ends[2];
        if (pipe(ends) != 0 || write(ends[1], answer_text, sizeof answer_text - 1) < 0) fail("pipe");
        if (splice(ends[0], NULL, request->fd, NULL, sizeof answer_text - 1, 0) < 0) fail("splice");
        call(0, path);
        close(ends[0]);
        close(ends[1]);
        return false;
    } else if (!strcmp(path, "/interim")) {
        static const char interim[] = "HTTP/1.1 100 Continue\r\n\r\n";
        if (write(request->fd, interim, sizeof interim - 1) < 0) fail("write");
        call(port, path);
    } else if (!strcmp(path, "/thread")) {
        in_thread(calls_alone, request);
    } else if (!strcmp(path, "/hands-over")) {
        in_thread(serves_the_rest, request);
        return false;
    } else if (!strcmp(path, "/forks")) {
        pid_t child = fork();
        if (child == 0) {
            call(0, path);
            _exit(0);
        }
        waitpid(child, NULL, 0);
        call(port, "/forks-parent");
    } else if (!strcmp(path, "/vforks")) {
        int in = request->fd, out = via();
        pid_t child = vfork();
        if (child == 0) {
            close(in);
            close(out);
            dup2(2, out);
            if (close_all) close_all(3, ~0u, 0);
            execl("/bin/true", "true", (char *)NULL);
            _exit(1);
        }
        waitpid(child, NULL, 0);
        call_on(out, port, path);
        close(out);
    } else if (!strcmp(path, "/spawns")) {
        char *arguments[] = {"true", NULL};
        pid_t child;
        if (posix_spawn(&child, "/bin/true", NULL, NULL, arguments, environ) != 0) fail("posix_spawn");
        waitpid(child, NULL, 0);
        call(port, path);
    } else if (!strncmp(path, "/dup-in", 7)) {
        int twin = !strcmp(path, "/dup-in")       ? dup(request->fd)
                   : !strcmp(path, "/dup-in-2")   ? dup2(request->fd, 200)
                   : !strcmp(path, "/dup-in-3")   ? dup3(request->fd, 201, O_CLOEXEC)
                   : !strcmp(path, "/dup-in-cmd") ? fcntl(request->fd, F_DUPFD, 202)
                                                  : fcntl(request->fd, F_DUPFD_CLOEXEC, 203);
        call(0, path);
        close(twin);
    } else if (!strcmp(path, "/dup-out")) {
        int out = via(), twin = dup(out);
        call_on(twin, 0, path);
        call_on(out, 0, path);
        close(twin);
        close(out);
    } else if (!strcmp(path, "/replaced")) {
        dup2(open("/dev/null", O_RDWR), request->fd);
        call(0, path);
        return false;
    } else if (!strcmp(path, "/closed")) {
        in_thread(closes, &request->fd);
        call(0, path);
        return false;
    } else if (!strcmp(path, "/shut")) {
        shutdown(request->fd, SHUT_WR);
        call(0, path);
        return false;
    } else if (!strcmp(path, "/reuse")) {
        reuse(request);
        return false;
    } else if (!strncmp(path, "/by-", 4)) {
        int out = via();
        if (write_by(path + 4, out, text, (size_t)length) < 0) fail("write");
        hear(out);
        close(out);
    } else if (!strncmp(path, "/answers-by-", 12)) {
        char copy[sizeof answer_text];
        memcpy(copy, answer_text, sizeof copy);
        if (write_by(path + 12, request->fd, copy, sizeof copy - 1) < 0) fail("write");
        call(0, path);
        return false;
    } else if (!strcmp(path, "/peeks")) {
        char byte;
        recv(request->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
        call(port, path);
    } else if (!strcmp(path, "/looks") || !strcmp(path, "/accepts")) {
        call(port, path);
        struct pollfd one = {listening, POLLIN, 0};
        poll(&one, 1, 0);
        if (!strcmp(path, "/accepts")) close(accept(listening, NULL, NULL));
        call(!strcmp(path, "/looks") ? port : 0, path);
    } else if (!strcmp(path, "/waits") || !strcmp(path, "/defers")) {
        /* It turns to whoever comes, and comes back to this one. */
        struct pollfd both[] = {{listening, POLLIN, 0}, {request->fd, POLLIN, 0}};
        poll(both, 2, 0);
        if (!strcmp(path, "/defers")) call(port, path);
    } else if (!strcmp(path, "/tunnels")) {
        int out = via();
        struct pollfd both[] = {{out, POLLIN, 0}, {request->fd, POLLIN, 0}};
        if (write(out, text, (size_t)length) < 0) fail("write");
        poll(both, 2, 10000);
        hear(out);
        close(out);
        call(port, "/tunnels-again");
    } else if (!strcmp(path, "/other-reads")) {
        int out = via();
        if (write(out, text, (size_t)length) < 0) fail("write");
        in_thread(hears, &out);
        close(out);
    } else if (!strcmp(path, "/connects")) {
        via();
    } else if (!strcmp(path, "/stranger-opens")) {
        stranger = accept_unix(&stranger_client);
    } else if (!strcmp(path, "/stranger-reads")) {
        if (write(stranger_client, "GET / HTTP/1.1\r\n\r\n", 18) < 0) fail("write");
        if (read(stranger, text, 100) != 18) fail("read");
        call(0, path);
    } else if (!strcmp(path, "/polls")) {
        int out = begin_to_connect();
        wait_for(out, POLLOUT);
        if (send(out, text, (size_t)length, 0) < 0) fail("send");
        wait_for(out, POLLIN);
        hear(out);
        close(out);
    } else if (!strcmp(path, "/selects")) {
        int out = begin_to_connect();
        fd_set set;
        FD_ZERO(&set);
        FD_SET(out, &set);
        if (select(out + 1, NULL, &set, NULL, NULL) != 1) fail("select");
        if (send(out, text, (size_t)length, 0) < 0) fail("send");
        hear(out);
        close(out);
    } else if (!strcmp(path, "/connects-unwaited")) {
        int out = begin_to_connect();
        while (send(out, text, (size_t)length, MSG_NOSIGNAL) < 0)
            if (errno != EAGAIN && errno != ENOTCONN) fail("send");
        hear(out);
        close(out);
    } else if (!strcmp(path, "/leaves-unread")) {
        int first = via(), second = via();
        nonblocking(first);
        call_text(text, sizeof text, port, "/leaves-unread-first");
        /* Half of a request, so that no answer can be there. */
        if (send(first, text, 40, 0) < 0) fail("send");
        if (recv(first, text + 200, 1, 0) >= 0 || errno != EAGAIN) fail("recv");
        call_on(second, 0, path);
        if (send(first, text + 40, strlen(text) - 40, 0) < 0) fail("send");
        wait_for(first, POLLIN);
        hear(first);
        close(first);
        close(second);
    } else if (!strcmp(path, "/pipelines")) {
        int out = via();
        char both[512];
        /* The second one is for another cause, as far as anybody can see. */
        if (write(out, text, (size_t)length) < 0) fail("write");
        int more = call_text(both, sizeof both, 0, "/pipelines-second");
        if (write(out, both, (size_t)more) < 0) fail("write");
        hear(out);
        hear(out);
        close(out);
    } else if (!strcmp(path, "/tls") || !strcmp(path, "/http2")) {
        int out = via();
        const char *first = !strcmp(path, "/tls") ? "\x16\x03\x01" : "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        if (write(out, first, strlen(first)) < 0) fail("write");
        hear(out);
        call_on(out, 0, path);
        close(out);
    } else if (!strcmp(path, "/slowly")) {
        int out = via();
        for (int i = 0; i < length; i++)
            if (write(out, text + i, 1) != 1) fail("write");
        hear(out);
        close(out);
    } else if (!strcmp(path, "/epolls")) {
        struct epoll_event event;
        int set = epoll_create1(0);
        epoll_wait(set, &event, 1, 0);
        close(set);
        call(0, path);
    } else if (!strcmp(path, "/epolls-client")) {
        /* Whether the client is there still: its connection alone. */
        struct epoll_event event = {.events = EPOLLRDHUP};
        int set = epoll_create1(0);
        epoll_ctl(set, EPOLL_CTL_ADD, request->fd, &event);
        epoll_wait(set, &event, 1, 0);
        close(set);
        call(port, path);
    } else if (!strcmp(path, "/errno")) {
        int wrong = 0;
        errno = 4711;
        int out = via();
        if (errno != 4711) wrong = 1;
        if (write(out, text, (size_t)length) != length || errno != 4711) wrong = 2;
        wait_for(out, POLLIN);
        char bytes[512];
        /* Whole: the answer is one segment. */
        if (read(out, bytes, sizeof bytes) <= 0 || errno != 4711) wrong = 3;
        nonblocking(out);
        if (read(out, bytes, sizeof bytes) != -1 || errno != EAGAIN) wrong = 4;
        errno = 4711;
        if (close(out) != 0 || errno != 4711) wrong = 5;
        if (close(out) != -1 || errno != EBADF) wrong = 6;
        if (dup2(-1, 250) != -1 || errno != EBADF) wrong = 7;
        if (fcntl(request->fd, F_GETFL) < 0 || fcntl(-1, F_GETFL) != -1 || errno != EBADF) wrong = 8;
        if (wrong) {
            fprintf(stderr, "errno: step %d\n", wrong);
            exit(1);
        }
    } else {
        call(port, path);
    }
    return true;
}

static void serve(int fd) {
    struct request request;
    while (read_head(fd, &request))
        if (handle(&request)) answer(&request);
    close(fd);
}

/* --- servers ------------------------------------------------------------------------------------- */

static void *serve_thread(void *fd) {
    serve((int)(long)fd);
    return NULL;
}

static void plain(int from) {
    for (;;) serve(accept(from, NULL, NULL));
}

/* It waits for the listener, and for each connection, in a set of its own. */
static void single_sets(int from) {
    int for_listener = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN};
    epoll_ctl(for_listener, EPOLL_CTL_ADD, from, &event);
    for (;;) {
        if (epoll_wait(for_listener, &event, 1, -1) != 1) continue;
        int fd = accept(from, NULL, NULL), set = epoll_create1(0);
        epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
        epoll_wait(set, &event, 1, 5000);
        close(set);
        serve(fd);
    }
}

static void threads(int from) {
    for (;;) {
        pthread_t thread;
        long fd = accept4(from, NULL, NULL, SOCK_CLOEXEC);
        pthread_create(&thread, NULL, serve_thread, (void *)fd);
        pthread_detach(thread);
    }
}

static void prefork(int from) {
    for (int i = 0; i < 4; i++)
        if (fork() == 0) plain(from);
    for (;;) pause();
}

static void fork_each(int from) {
    signal(SIGCHLD, SIG_IGN);
    for (;;) {
        int fd = accept(from, NULL, NULL);
        if (fork() == 0) {
            close(from);
            serve(fd);
            _exit(0);
        }
        close(fd);
    }
}

/* As PHP's: it takes all connections there are, and serves what is read whole at once, to the end. */
static void blocking_loop(int from) {
    static struct pollfd fds[256];
    static char heads[256][4096];
    static size_t lengths[256];
    nfds_t count = 1;
    fds[0] = (struct pollfd){from, POLLIN, 0};
    for (;;) {
        poll(fds, count, 1000);
        for (nfds_t i = 1; i < count; i++) {
            if (!fds[i].revents) continue;
            ssize_t got = recv(fds[i].fd, heads[i] + lengths[i], 4095 - lengths[i], 0);
            if (got > 0) {
                lengths[i] += (size_t)got;
                heads[i][lengths[i]] = '\0';
                const char *end = strstr(heads[i], "\r\n\r\n"),
                           *length = strstr(heads[i], "content-length: ");
                if (!end || (length && strlen(end + 4) < (size_t)atoi(length + 16))) continue;
                struct request request = {.fd = fds[i].fd, .port = port_of(fds[i].fd, true)};
                sscanf(heads[i], "%*s %63s", request.path);
                /* A file is answered on a later turn. */
                if (!strcmp(request.path, "/file")) {
                    fds[i].events = POLLOUT;
                    lengths[i] = 0;
                    continue;
                }
                if (handle(&request)) answer(&request);
                lengths[i] = 0;
                continue;
            }
            if (fds[i].events == POLLOUT) {
                struct request request = {.fd = fds[i].fd};
                answer(&request);
                fds[i].events = POLLIN;
                continue;
            }
            close(fds[i].fd);
            fds[i] = fds[--count];
            lengths[i] = lengths[count];
            memcpy(heads[i], heads[count], 4096);
            i--;
        }
        if (fds[0].revents && count < 256) {
            lengths[count] = 0;
            fds[count++] = (struct pollfd){accept4(from, NULL, NULL, SOCK_NONBLOCK), POLLIN, 0};
        }
    }
}

/* An event loop: it calls for a request, and answers when the call is answered; beside that it calls on
 * its own for nobody, whenever it has come round. Before it is that it is, for a while, a blocking one. */
static void event_loop(int from, int (*wait)(struct pollfd *, nfds_t), int blocking) {
    static struct pollfd fds[256];
    static int answers_to[256];
    nfds_t count = 1;
    int turns = 0;
    fds[0] = (struct pollfd){from, POLLIN, 0};
    for (;;) {
        wait(fds, count);
        nfds_t there = count;
        for (nfds_t i = 1; i < there; i++) {
            if (!fds[i].revents || fds[i].fd < 0) continue;
            struct request request = {.fd = fds[i].fd, .port = port_of(fds[i].fd, true)};
            if (answers_to[i]) {
                hear(fds[i].fd);
                close(fds[i].fd);
                fds[i].fd = -1;
                if (answers_to[i] > 0) {
                    request.fd = answers_to[i];
                    answer(&request);
                }
                continue;
            }
            if (!read_head(request.fd, &request)) {
                close(request.fd);
                fds[i].fd = -1;
                continue;
            }
            if (blocking > 0) {
                blocking--;
                if (handle(&request)) answer(&request);
                continue;
            }
            char text[256];
            int out = via(), length = call_text(text, sizeof text, request.port, request.path);
            if (write(out, text, (size_t)length) < 0) fail("write");
            answers_to[count] = request.fd;
            fds[count++] = (struct pollfd){out, POLLIN, 0};
        }
        if (turns++ % 3 == 2 && blocking == 0 && count < 250) {
            char text[256];
            int out = via(), length = call_text(text, sizeof text, 0, "/background");
            if (write(out, text, (size_t)length) < 0) fail("write");
            answers_to[count] = -1;
            fds[count++] = (struct pollfd){out, POLLIN, 0};
        }
        if (fds[0].revents && count < 250) {
            answers_to[count] = 0;
            fds[count++] = (struct pollfd){accept(from, NULL, NULL), POLLIN, 0};
        }
        nfds_t kept = 1;
        for (nfds_t i = 1; i < count; i++) {
            if (fds[i].fd < 0) continue;
            fds[kept] = fds[i];
            answers_to[kept++] = answers_to[i];
        }
        count = kept;
    }
}

static int by_poll(struct pollfd *fds, nfds_t count) { return poll(fds, count, 20); }

static int by_ppoll(struct pollfd *fds, nfds_t count) {
    struct timespec time = {0, 20000000};
    return ppoll(fds, count, &time, NULL);
}

static int by_select(struct pollfd *fds, nfds_t count) {
    fd_set in;
    struct timeval time = {0, 20000};
    FD_ZERO(&in);
    for (nfds_t i = 0; i < count; i++) FD_SET(fds[i].fd, &in);
    int ready = select(FD_SETSIZE, &in, NULL, NULL, &time);
    for (nfds_t i = 0; i < count; i++) fds[i].revents = ready > 0 && FD_ISSET(fds[i].fd, &in) ? POLLIN : 0;
    return ready;
}

static int by_epoll(struct pollfd *fds, nfds_t count) {
    struct epoll_event events[256];
    int set = epoll_create1(0);
    for (nfds_t i = 0; i < count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
        epoll_ctl(set, EPOLL_CTL_ADD, fds[i].fd, &event);
        fds[i].revents = 0;
    }
    int ready = epoll_wait(set, events, 256, 20);
    for (int i = 0; i < ready; i++) fds[events[i].data.u32].revents = POLLIN;
    close(set);
    return ready;
}

/* A thread reads the heads and others serve; it calls for nobody in between. */
static void reader(int from) {
    for (;;) {
        struct request *request = malloc(sizeof *request);
        pthread_t thread;
        if (!read_head(accept(from, NULL, NULL), request)) continue;
        pthread_create(&thread, NULL, serves_the_rest, request);
        pthread_detach(thread);
        call(0, "/background");
    }
}

/* As Puma: what a thread finds there by half it leaves to one that waits in epoll, and then to another. */
static void *reads_the_rest(void *given) {
    struct request *request = given;
    struct epoll_event event = {.events = EPOLLIN};
    int set = epoll_create1(0);
    char body[64];
    epoll_ctl(set, EPOLL_CTL_ADD, request->fd, &event);
    epoll_ctl(set, EPOLL_CTL_ADD, listening, &event);
    epoll_wait(set, &event, 1, 10000);
    close(set);
    wait_for(request->fd, POLLIN);
    if (recv(request->fd, body, sizeof body, 0) <= 0) fail("recv");
    in_thread(serves_the_rest, request);
    return NULL;
}

static void halves(int from) {
    for (;;) {
        struct request request;
        char byte;
        int fd = accept(from, NULL, NULL);
        while (read_head(fd, &request)) {
            if (strcmp(request.path, "/half")) {
                if (handle(&request)) answer(&request);
                continue;
            }
            if (recv(fd, &byte, 1, MSG_DONTWAIT) >= 0 || errno != EAGAIN) fail("recv");
            call(0, "/background");
            in_thread(reads_the_rest, &request);
        }
        close(fd);
    }
}

/* It looks at the head, and another thread reads it. */
static void peeks(int from) {
    for (;;) {
        char head[1024];
        pthread_t thread;
        long fd = accept(from, NULL, NULL);
        ssize_t count = recv(fd, head, sizeof head - 1, MSG_PEEK);
        head[count > 0 ? count : 0] = '\0';
        if (!strstr(head, "/peeked")) {
            serve((int)fd);
            continue;
        }
        call(0, "/background");
        pthread_create(&thread, NULL, serve_thread, (void *)fd);
        pthread_detach(thread);
    }
}

/* Tasks on one thread that is woken by another, which waits in epoll: as coroutines of some languages.
 * The thread itself never waits for a connection. */
static int woken[2];
static int green_set;

static void *wakes(void *none) {
    for (;;) {
        struct epoll_event event;
        if (epoll_wait(green_set, &event, 1, -1) == 1 && write(woken[1], &event.data.fd, sizeof(int)) < 0)
            fail("write");
    }
    return none;
}

static void wake_for(int fd) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT, .data.fd = fd};
    if (epoll_ctl(green_set, EPOLL_CTL_ADD, fd, &event) != 0) epoll_ctl(green_set, EPOLL_CTL_MOD, fd, &event);
}

static void green(int from) {
    static int answers_to[1024];
    pthread_t thread;
    green_set = epoll_create1(0);
    if (pipe(woken) != 0) fail("pipe");
    pthread_create(&thread, NULL, wakes, NULL);
    nonblocking(from);
    wake_for(from);
    for (;;) {
        int fd;
        struct request request;
        if (read(woken[0], &fd, sizeof fd) != sizeof fd) fail("read");
        if (fd == from) {
            int taken = accept4(from, NULL, NULL, SOCK_NONBLOCK);
            if (taken >= 0) wake_for(taken);
            wake_for(from);
        } else if (answers_to[fd]) {
            request.fd = answers_to[fd];
            answers_to[fd] = 0;
            hear(fd);
            close(fd);
            if (request.fd > 0) {
                answer(&request);
                wake_for(request.fd);
            }
        } else if (!read_head(fd, &request)) {
            close(fd);
        } else {
            for (int background = 0; background < 2; background++) {
                char text[256];
                int length = call_text(text, sizeof text, background ? 0 : request.port,
                                       background ? "/background" : request.path);
                int out = via();
                nonblocking(out);
                if (write(out, text, (size_t)length) < 0) fail("write");
                answers_to[out] = background ? -1 : fd;
                wake_for(out);
            }
        }
    }
}

/* One process accepts, and another serves. */
static void passes(int from) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_DGRAM, 0, ends) != 0) fail("socketpair");
    if (fork() == 0) {
        for (;;) serve(receive(ends[1]));
    }
    for (;;) {
        struct request request = {.fd = accept(from, NULL, NULL)};
        pass(&request, ends[0]);
        close(request.fd);
    }
}

/* Two heads before an answer, and then calls for both. */
static void two_at_once(int from) {
    for (int round = 0; round < 8; round++) serve(accept(from, NULL, NULL));
    for (;;) {
        struct request first, second;
        int one = accept(from, NULL, NULL), other = accept(from, NULL, NULL);
        if (!read_head(one, &first)) fail("first");
        call(first.port, "/first");
        if (!read_head(other, &second)) fail("second");
        call(first.port, "/first-again");
        answer(&first);
        answer(&second);
        serve(one);
        serve(other);
    }
}

/* Before each request a thread is cancelled while it waits for one that never comes. */
static void cancelled(int from) {
    int silent = accept(from, NULL, NULL);
    for (;;) {
        int fd = accept(from, NULL, NULL);
        pthread_t thread;
        void *end;
        pthread_create(&thread, NULL, serve_thread, (void *)(long)silent);
        /* Whether it waits already, or is about to, is the same to it. */
        usleep(2000);
        pthread_cancel(thread);
        pthread_join(thread, &end);
        if (end != PTHREAD_CANCELED) exit(1);
        serve(fd);
    }
}

/* Signals whose handler writes, waits and duplicates, all the time. */
static int signal_ends[2];
static void on_signal(int number) {
    int saved = errno;
    char byte;
    if (write(signal_ends[1], "x", 1) == 1 && read(signal_ends[0], &byte, 1) == 1) {
        struct pollfd one = {signal_ends[0], POLLIN, 0};
        poll(&one, 1, 0);
        close(dup(signal_ends[0]));
    }
    (void)number;
    errno = saved;
}

static void signals(int from) {
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    struct itimerval often = {{0, 300}, {0, 300}};
    if (pipe(signal_ends) != 0) fail("pipe");
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    plain(from);
}

int main(int count, char **arguments) {
    if (count < 3) return 2;
    const char *kind = arguments[1];
    via_port = atoi(arguments[2]);
    if (count > 3) read_how = arguments[3];
    close_all = (int (*)(unsigned, unsigned, int))dlsym(RTLD_DEFAULT, "close_range");
    signal(SIGPIPE, SIG_IGN);
    int from = listening = listener();
    if (!strcmp(kind, "plain")) plain(from);
    if (!strcmp(kind, "threads")) threads(from);
    if (!strcmp(kind, "single-sets")) single_sets(from);
    if (!strcmp(kind, "prefork")) prefork(from);
    if (!strcmp(kind, "fork-each")) fork_each(from);
    if (!strcmp(kind, "blocking-loop")) blocking_loop(from);
    if (!strcmp(kind, "poll-loop")) event_loop(from, by_poll, 0);
    if (!strcmp(kind, "ppoll-loop")) event_loop(from, by_ppoll, 0);
    if (!strcmp(kind, "select-loop")) event_loop(from, by_select, 0);
    if (!strcmp(kind, "epoll-loop")) event_loop(from, by_epoll, 0);
    if (!strcmp(kind, "late-poll-loop")) event_loop(from, by_poll, 20);
    if (!strcmp(kind, "late-select-loop")) event_loop(from, by_select, 20);
    if (!strcmp(kind, "reader")) reader(from);
    if (!strcmp(kind, "peeks")) peeks(from);
    if (!strcmp(kind, "halves")) halves(from);
    if (!strcmp(kind, "green")) green(from);
    if (!strcmp(kind, "passes")) passes(from);
    if (!strcmp(kind, "two-at-once")) two_at_once(from);
    if (!strcmp(kind, "cancelled")) cancelled(from);
    if (!strcmp(kind, "signals")) signals(from);
    return 2;
}
