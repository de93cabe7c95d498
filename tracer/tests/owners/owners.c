/*
 * A mixed load for the test in owners.rs: `owners COUNT` makes COUNT connections of each kind, all of which fail.
 *
 * Who holds which end is told on lines `END PORT-PORT PID[,PID…] KIND [MODE]`: the client's port and the server's; the
 * first process is the one that uses the end, the other has held it, too. The first line is `ready`; then it waits for
 * one to read. `owners refused PORT` waits likewise, and is refused by a port at which nobody listens.
 */

#define _GNU_SOURCE

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* A process that waits so long waits for ever. */
#define PATIENCE_SECONDS 60

/*
 * How a connection fails; the client sends it as its first byte.
 * 'r' the client aborts, and the server's read tells; 'u' the server closes with unread data, and the client's read
 * tells; 'w' the server closes, and the client's second write tells.
 */
static const char MODES[] = "ruw";

static void broken(const char *what)
{
	perror(what);
	exit(1);
}

static void tell(const char *format, ...)
{
	char line[256];
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	/* One write a line: those of several processes do not mix. */
	if (write(STDOUT_FILENO, line, length) != length)
		exit(1);
}

static pid_t fork_one(void)
{
	pid_t pid = fork();

	if (pid == -1)
		broken("fork");
	if (pid == 0)
		alarm(PATIENCE_SECONDS);
	return pid;
}

static int listener(int *port)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	socklen_t length = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd == -1 || bind(fd, (struct sockaddr *)&at, sizeof(at)) == -1 || listen(fd, 128) == -1 ||
	    getsockname(fd, (struct sockaddr *)&at, &length) == -1)
		broken("listening");
	*port = ntohs(at.sin_port);
	return fd;
}

static int connection(int port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd == -1 || (connect(fd, (struct sockaddr *)&to, sizeof(to)) == -1 && errno != ECONNREFUSED))
		broken("connecting");
	return fd;
}

static int port_of(int fd, int (*ask)(int, struct sockaddr *, socklen_t *))
{
	struct sockaddr_in at;
	socklen_t length = sizeof(at);

	if (ask(fd, (struct sockaddr *)&at, &length) == -1)
		broken("asking for an address");
	return ntohs(at.sin_port);
}

static void tell_client(int fd, const char *pids, const char *kind, char mode)
{
	tell("client %d-%d %s %s %c\n", port_of(fd, getsockname), port_of(fd, getpeername), pids, kind, mode);
}

/* Of a connection that was aborted accept() alone tells the other end. */
static void tell_server(int fd, int client, const char *pids, const char *kind)
{
	tell("server %d-%d %s %s\n", client, port_of(fd, getsockname), pids, kind);
}

/* This process alone. */
static const char *self(void)
{
	static char text[16];

	snprintf(text, sizeof(text), "%d", getpid());
	return text;
}

/* This process, and before it its parent. */
static const char *self_and_parent(void)
{
	static char text[32];

	snprintf(text, sizeof(text), "%d,%d", getpid(), getppid());
	return text;
}

static int accept_one(int fd, int *port)
{
	struct sockaddr_in at;
	socklen_t length = sizeof(at);
	int accepted = accept(fd, (struct sockaddr *)&at, &length);

	if (accepted == -1)
		broken("accepting");
	*port = ntohs(at.sin_port);
	return accepted;
}

static void await(int fd, short events)
{
	struct pollfd state = { .fd = fd, .events = events };

	while (!(state.revents & (events | POLLERR)))
		if (poll(&state, 1, -1) == -1)
			broken("poll");
}

static void abort_connection(int fd)
{
	struct linger linger = { .l_onoff = 1 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(fd);
}

static void serve(int fd)
{
	char mode, more;

	if (read(fd, &mode, 1) != 1)
		broken("reading the mode");
	switch (mode) {
	case 'r':
		if (write(fd, "+", 1) == 1 && read(fd, &more, 1) != -1)
			broken("a read that must fail");
		break;
	case 'u':
		if (write(fd, "+", 1) != 1)
			broken("writing");
		await(fd, POLLIN); /* what will not be read */
		break;
	}
	close(fd);
}

static void use(int fd, char mode)
{
	char answer;

	if (write(fd, &mode, 1) != 1)
		broken("writing the mode");
	switch (mode) {
	case 'r':
		if (read(fd, &answer, 1) != 1)
			broken("reading");
		abort_connection(fd);
		return;
	case 'u':
		if (read(fd, &answer, 1) != 1 || write(fd, "..", 2) != 2)
			broken("talking");
		if (read(fd, &answer, 1) != -1 || errno != ECONNRESET)
			broken("a read that must fail");
		break;
	case 'w':
		await(fd, POLLRDHUP);
		if (write(fd, ".", 1) != 1)
			broken("the first write");
		await(fd, 0);
		if (write(fd, ".", 1) != -1 || errno != EPIPE)
			broken("the second write must fail");
		break;
	}
	close(fd);
}

/* COUNT connections by this process, one after the other. */
static void clients(int port, const char *kind, int count)
{
	for (int i = 0; i < count; i++) {
		int fd = connection(port);

		tell_client(fd, self(), kind, MODES[i % 3]);
		use(fd, MODES[i % 3]);
	}
}

/* The parent accepts and closes its copy, a child serves. */
static void fork_server(int listening, int count)
{
	for (int i = 0; i < count; i++) {
		int port, fd = accept_one(listening, &port);

		if (fork_one() == 0) {
			tell_server(fd, port, self_and_parent(), "fork");
			close(listening);
			serve(fd);
			_exit(0);
		}
		close(fd);
	}
	while (wait(NULL) != -1)
		;
}

static void *serve_in_thread(void *fd)
{
	serve((int)(long)fd);
	return NULL;
}

static void thread_server(int listening, int count)
{
	pthread_t threads[count];

	for (int i = 0; i < count; i++) {
		int port, fd = accept_one(listening, &port);

		tell_server(fd, port, self(), "thread");
		if (pthread_create(&threads[i], NULL, serve_in_thread, (void *)(long)fd) != 0)
			broken("making a thread");
	}
	for (int i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
}

static void plain_server(int listening, const char *kind, int count)
{
	for (int i = 0; i < count; i++) {
		int port, fd = accept_one(listening, &port);

		tell_server(fd, port, self(), kind);
		serve(fd);
	}
}

union control {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(sizeof(int))];
};

static void pass(int channel, int fd, char what)
{
	union control control = { 0 };
	struct iovec data = { &what, 1 };
	struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control,
				  .msg_controllen = sizeof(control) };
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	if (sendmsg(channel, &message, 0) != 1)
		broken("passing a descriptor");
	close(fd);
}

static int receive(int channel, char *what)
{
	union control control;
	struct iovec data = { what, 1 };
	struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control,
				  .msg_controllen = sizeof(control) };
	int fd;

	if (recvmsg(channel, &message, 0) != 1)
		return -1;
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(fd));
	return fd;
}

/* One process accepts, another is given what it accepted. */
static void passing_server(int listening, int count)
{
	int channel[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, channel) == -1)
		broken("socketpair");
	if (fork_one() == 0) {
		char what;
		int fd;

		close(channel[0]);
		close(listening);
		while ((fd = receive(channel[1], &what)) != -1) {
			tell_server(fd, port_of(fd, getpeername), self_and_parent(), "passed");
			serve(fd);
		}
		_exit(0);
	}
	close(channel[1]);
	for (int i = 0; i < count; i++) {
		int port, fd = accept_one(listening, &port);

		pass(channel[0], fd, '.');
	}
	close(channel[0]);
	wait(NULL);
}

/* One process connects, another is given the connection and does nothing with it until it has failed. */
static void passing_clients(int port, int count)
{
	int channel[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, channel) == -1)
		broken("socketpair");
	if (fork_one() == 0) {
		char what;
		int fd;

		close(channel[0]);
		while ((fd = receive(channel[1], &what)) != -1) {
			tell_client(fd, self_and_parent(), "passed_silent", 's');
			if (send(channel[1], "!", 1, 0) != 1)
				broken("asking for more");
			await(fd, 0);
			if (read(fd, &what, 1) != -1)
				broken("a read that must fail");
			close(fd);
			if (send(channel[1], "!", 1, 0) != 1)
				broken("asking for more");
		}
		_exit(0);
	}
	close(channel[1]);
	for (int i = 0; i < count; i++) {
		char answer;
		int fd = connection(port), gate = connection(port);

		pass(channel[0], fd, '.');
		if (recv(channel[0], &answer, 1, 0) != 1)
			broken("handing over");
		/* The other one holds it alone now: let it fail. */
		close(gate);
		if (recv(channel[0], &answer, 1, 0) != 1)
			broken("handing over");
	}
	close(channel[0]);
	wait(NULL);
}

/* Aborts each connection once the next one, its gate, is closed. */
static void aborting_server(int listening, int count)
{
	for (int i = 0; i < count; i++) {
		int port, fd = accept_one(listening, &port), gate = accept_one(listening, &(int){ 0 });
		char byte;

		tell_server(fd, port, self(), "passed_silent");
		if (read(gate, &byte, 1) != 0)
			broken("the gate");
		close(gate);
		abort_connection(fd);
	}
}

/* Each connection by a process of its own, which ends with it. */
static void short_clients(int port, int count)
{
	for (int i = 0; i < count; i++) {
		if (fork_one() == 0) {
			int fd = connection(port);

			tell_client(fd, self(), "short", MODES[i % 3]);
			use(fd, MODES[i % 3]);
			_exit(0);
		}
		wait(NULL);
	}
}

/* A server that finds its listener open when it begins; who opened it is gone. */
static void inherit(int listening, const char *what, const char *count, int gate)
{
	char number[16], gate_number[16];

	if (fork_one() != 0)
		return;
	snprintf(number, sizeof(number), "%d", listening);
	snprintf(gate_number, sizeof(gate_number), "%d", gate);
	execl("/proc/self/exe", "inheritor", what, count, number, gate_number, NULL);
	broken("exec");
}

/* Accepts each connection only after it was aborted. */
static void late_server(int listening, int gate, int count)
{
	for (int i = 0; i < count; i++) {
		char byte;
		int port, fd;

		if (read(gate, &byte, 1) != 1)
			broken("the gate");
		fd = accept_one(listening, &port);
		tell_server(fd, port, self(), "queued");
		while (read(fd, &byte, 1) == 1)
			;
		close(fd);
	}
}

static void hasty_clients(int port, int gate, int count)
{
	for (int i = 0; i < count; i++) {
		int fd = connection(port);

		tell_client(fd, self(), "queued", 'r');
		if (write(fd, ".", 1) != 1)
			broken("writing");
		abort_connection(fd);
		if (write(gate, ".", 1) != 1)
			broken("the gate");
	}
}

static volatile sig_atomic_t enough;

static void stop(int signal)
{
	enough = signal;
}

/* Orderly connections of somebody else, in whose time the others' segments are handled, too. */
static void bystander(void)
{
	int port, listening = listener(&port);
	pid_t server = fork_one();

	if (server == 0) {
		for (;;) {
			char byte;
			int fd = accept_one(listening, &(int){ 0 });

			while (read(fd, &byte, 1) == 1)
				if (write(fd, &byte, 1) != 1)
					break;
			close(fd);
		}
	}
	signal(SIGTERM, stop);
	while (!enough) {
		char byte;
		int fd = connection(port);

		for (int i = 0; i < 20; i++)
			if (write(fd, ".", 1) != 1 || read(fd, &byte, 1) != 1)
				broken("idle talk");
		shutdown(fd, SHUT_WR);
		if (read(fd, &byte, 1) != 0)
			broken("idle talk");
		close(fd);
	}
	kill(server, SIGKILL);
	_exit(0);
}

/* Connections that are there before anything else, of which half are served by a child that inherits them. */
static void old(int count, int go)
{
	int port, listening = listener(&port), *fds = calloc(count, sizeof(*fds));
	pid_t client = fork_one();
	char byte;

	if (fds == NULL)
		broken("memory");
	if (client == 0) {
		for (int i = 0; i < count; i++)
			fds[i] = connection(port);
		close(listening);
		for (int i = 0; i < count; i++) {
			/* The child serves every other one; there its parent holds it, too, so it is the client that aborts. */
			char mode = i % 2 == 0 ? 'r' : MODES[i / 2 % 3];

			await(fds[i], POLLIN);
			if (read(fds[i], &byte, 1) != 1)
				broken("waiting for the server");
			tell_client(fds[i], self(), "old", mode);
			use(fds[i], mode);
		}
		_exit(0);
	}
	for (int i = 0; i < count; i++)
		fds[i] = accept_one(listening, &(int){ 0 });
	tell("ready\n");
	if (read(go, &byte, 1) != 1)
		broken("waiting");
	for (int i = 0; i < count; i++) {
		int inherited = i % 2 == 0;

		if (!inherited || fork_one() == 0) {
			if (inherited)
				tell_server(fds[i], port_of(fds[i], getpeername), self_and_parent(), "old");
			else
				tell_server(fds[i], port_of(fds[i], getpeername), self(), "old");
			if (write(fds[i], "+", 1) != 1)
				broken("beginning");
			serve(fds[i]);
			if (inherited)
				_exit(0);
		} else {
			wait(NULL);
			close(fds[i]);
		}
	}
	waitpid(client, NULL, 0);
}

#define BOTH(server, client)                                  \
	do {                                                   \
		int port, listening = listener(&port);         \
		if (fork_one() == 0) {                         \
			server;                                \
			_exit(0);                              \
		}                                              \
		close(listening);                              \
		if (fork_one() == 0) {                         \
			client;                                \
			_exit(0);                              \
		}                                              \
	} while (0)

int main(int argc, char **argv)
{
	int count = argc > 2 ? atoi(argv[2]) : argc > 1 ? atoi(argv[1]) : 0, go[2], gate[2], failed = 0, status;
	pid_t idle;
	char line[8];

	signal(SIGPIPE, SIG_IGN);
	alarm(PATIENCE_SECONDS);
	if (argc == 5) {
		if (strcmp(argv[1], "late") == 0)
			late_server(atoi(argv[3]), atoi(argv[4]), count);
		else
			plain_server(atoi(argv[3]), argv[1], count);
		return 0;
	}
	if (argc == 3 && strcmp(argv[1], "refused") == 0) {
		tell("ready\n");
		if (read(STDIN_FILENO, line, sizeof(line)) <= 0)
			broken("waiting");
		connection(count);
		return 0;
	}
	if (argc != 2 || pipe(go) == -1 || pipe(gate) == -1)
		broken("starting");
	if (fork_one() == 0) {
		old(count, go[0]);
		_exit(0);
	}
	close(go[0]);
	if (read(STDIN_FILENO, line, sizeof(line)) <= 0)
		broken("waiting");
	idle = fork_one();
	if (idle == 0)
		bystander();
	if (write(go[1], ".", 1) != 1)
		broken("beginning");
	BOTH(fork_server(listening, count), clients(port, "fork", count));
	BOTH(thread_server(listening, count), clients(port, "thread", count));
	BOTH(passing_server(listening, count), clients(port, "passed", count));
	BOTH(aborting_server(listening, count), passing_clients(port, count));
	BOTH(plain_server(listening, "short", count), short_clients(port, count));
	BOTH(inherit(listening, "inherited", argv[1], 0), clients(port, "inherited", count));
	BOTH(inherit(listening, "late", argv[1], gate[0]), hasty_clients(port, gate[1], count));
	for (int children = 15; children > 0; children--) {
		if (wait(&status) == idle)
			broken("the bystanders");
		failed |= status;
	}
	kill(idle, SIGTERM);
	wait(&status);
	return failed != 0;
}
