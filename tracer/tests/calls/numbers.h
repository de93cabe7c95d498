/*
 * System calls of 32-bit x86 whose numbers are those of other calls of x86-64, and that fail as those could.
 *
 * https://github.com/torvalds/linux/blob/v6.12/arch/x86/entry/syscalls/syscall_32.tbl
 * https://github.com/torvalds/linux/blob/v6.12/arch/x86/entry/syscalls/syscall_64.tbl
 */

#ifndef NUMBERS_H
#define NUMBERS_H

/* A descriptor that is not open. */
#define NOT_OPEN 1000

#if defined(__x86_64__) || defined(__i386__)

struct call {
	const char *name;
	int number;
	/* Arguments: no descriptor, or no memory. */
	long first, second, third;
};

static const struct call calls[] = {
	{ "ioctl", 54, NOT_OPEN, 1, 1 }, /* setsockopt on x86-64 */
	{ "fcntl", 55, NOT_OPEN, 1, 0 }, /* getsockopt */
	{ "pipe", 42, 8, 0, 0 },         /* connect */
	{ "times", 43, 8, 0, 0 },        /* accept */
	{ 0, 0, 0, 0, 0 },
};

/* What the kernel returns: an errno is below 0. */
static long int80_call(long number, long first, long second, long third)
{
	long result;

	__asm__ volatile("int $0x80"
			 : "=a"(result)
			 : "a"(number), "b"(first), "c"(second), "d"(third)
			 : "memory"
#ifdef __x86_64__
			 , "r8", "r9", "r10", "r11"
#endif
	);
	return result;
}

static inline long make(const struct call *call)
{
	return int80_call(call->number, call->first, call->second, call->third);
}

#endif
#endif
