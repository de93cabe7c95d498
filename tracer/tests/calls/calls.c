/*
 * Calls that safe Rust cannot make, for the tests in calls.rs: `calls NAME PORT [ARGUMENT…]`.
 *
 * What each call gave is told on a line of its own, so that a test can compare it with what tcptrace found.
 */

#include "calls.h"
#include "numbers.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* A program that waits so long waits for ever. */
#define PATIENCE_SECONDS 30

void tell(const char *call, long number)
{
	printf("%s %ld\n", call, number);
	/* The next call may be the last. */
	fflush(stdout);
}

int failure(long result)
{
	return result == -1 ? errno : 0;
}

void skip(const char *why)
{
	printf("SKIP %s\n", why);
	exit(0);
}

void broken(const char *what)
{
	perror(what);
	exit(1);
}

int connection(int port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd == -1 || connect(fd, (struct sockaddr *)&to, sizeof(to)) == -1)
		broken("connecting");
	return fd;
}

void await_reset(int fd)
{
	struct pollfd reset = { .fd = fd };

	/* The peer closes with this unread, which makes a RST. poll() does not take the error away. */
	if (write(fd, "x", 1) != 1)
		broken("writing");
	while (!(reset.revents & POLLERR))
		if (poll(&reset, 1, -1) == -1)
			broken("waiting for the RST");
}

/* A connection that its peer has reset; no call has told so yet. */
static int reset_connection(int port)
{
	int fd = connection(port);

	await_reset(fd);
	return fd;
}

/* An address that is no memory. */
static void *nowhere(void)
{
	void *page = mmap(NULL, 1, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED)
		broken("mapping a page");
	return page;
}

static void set(int fd, void *value)
{
	tell("setsockopt", failure(setsockopt(fd, SOL_TCP, TCP_NODELAY, value, sizeof(int))));
}

static void get(int fd, int option, socklen_t *length)
{
	int value;

	tell("getsockopt", failure(getsockopt(fd, SOL_TCP, option, &value, length)));
}

/* No value, no place for its length, and no address. */
static void efault(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	set(fd, nowhere());
	get(fd, TCP_KEEPCNT, nowhere());
	tell("connect", failure(connect(fd, nowhere(), sizeof(struct sockaddr_in))));
}

/* The same option, set and read. */
static void alike(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	set(fd, nowhere());
	get(fd, TCP_NODELAY, nowhere());
	set(fd, nowhere());
}

/* SIGPIPE is neither ignored nor handled: it waits. */
static void blocked(int fd)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0)
		broken("blocking SIGPIPE");
	tell("write", failure(write(fd, "x", 1)));
	tell("write", failure(write(fd, "x", 1)));
	sigpending(&set);
	tell("pending", sigismember(&set, SIGPIPE));
}

static void nosignal(int fd)
{
	tell("send", failure(send(fd, "x", 1, MSG_NOSIGNAL)));
	tell("send", failure(send(fd, "x", 1, MSG_NOSIGNAL)));
}

/* main's thread. */
static pthread_t first;

/* The second call is the end of the whole process. */
static void *write_twice(void *fd)
{
	tell("write", failure(write(*(int *)fd, "x", 1)));
	tell("write", failure(write(*(int *)fd, "x", 1)));
	return NULL;
}

/* The same, when main's thread, whose id is the process', is no more. */
static void *write_alone(void *fd)
{
	pthread_join(first, NULL);
	return write_twice(fd);
}

static void *close_it(void *fd)
{
	tell("close", failure(close(*(int *)fd)));
	return NULL;
}

static pthread_t start(void *(*work)(void *), int *fd)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, work, fd) != 0)
		broken("starting a thread");
	return thread;
}

/* A descriptor that another thread has closed behind this one's back. */
static void raced_fd(int fd)
{
	int on = 1;

	tell("fd", fd);
	pthread_join(start(close_it, &fd), NULL);
	set(fd, &on);
}

/* What tcptrace must tell, so that its silence about other calls of this process means something. */
static void control(void)
{
	int value;
	socklen_t length = sizeof(value);

	tell("getsockopt", failure(getsockopt(NOT_OPEN, SOL_SOCKET, SO_TYPE, &value, &length)));
}

#ifdef __x86_64__
static void not_taken(int signal)
{
	static const char why[] = "SKIP this kernel takes no 32-bit calls\n";

	(void)signal;
	_exit(write(STDOUT_FILENO, why, sizeof(why) - 1) == -1);
}
#endif

/* 32-bit calls of a 64-bit program: the kernel takes them by the other table of numbers. */
static void int80(void)
{
#ifdef __x86_64__
	const struct call *call;

	signal(SIGSEGV, not_taken);
	for (call = calls; call->name; call++)
		tell(call->name, -make(call));
#else
	skip("only x86 has int $0x80");
#endif
}

int main(int count, char **arguments)
{
	const char *name = count > 2 ? arguments[1] : "";
	int port = count > 2 ? atoi(arguments[2]) : 0;
	static int fd; /* outlives main's thread */

	alarm(PATIENCE_SECONDS);
	/*
	 * tcptrace waits some milliseconds for a call that tells of a RST, or for a death by SIGPIPE: on a busy host
	 * no thread of this program must wait for a processor so long. Where that is not permitted it has to be lucky.
	 */
	sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){ .sched_priority = 1 });
	signal(SIGPIPE, SIG_DFL);
	if (!strcmp(name, "efault")) {
		efault();
	} else if (!strcmp(name, "alike")) {
		alike();
	} else if (!strcmp(name, "blocked")) {
		blocked(reset_connection(port));
	} else if (!strcmp(name, "nosignal")) {
		nosignal(reset_connection(port));
	} else if (!strcmp(name, "thread")) {
		fd = reset_connection(port);
		pthread_join(start(write_twice, &fd), NULL);
	} else if (!strcmp(name, "thread_alone")) {
		fd = reset_connection(port);
		first = pthread_self();
		start(write_alone, &fd);
		pthread_exit(NULL);
	} else if (!strcmp(name, "raced_fd")) {
		raced_fd(connection(port));
	} else if (!strcmp(name, "int80")) {
		connection(port);
		control();
		int80();
	} else if (!strcmp(name, "exec") && count == 4) {
		/* The other program goes on as this process. */
		connection(port);
		control();
		execl(arguments[3], arguments[3], NULL);
		if (errno == ENOEXEC)
			skip("this kernel runs no 32-bit programs");
		broken("executing");
	} else if (!strcmp(name, "uring") && count == 5) {
		use_uring(arguments[3], arguments[4], port);
	} else {
		fprintf(stderr, "calls NAME PORT [ARGUMENT…]\n");
		return 1;
	}
	return 0;
}
