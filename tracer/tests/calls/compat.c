/*
 * A whole 32-bit program: the calls of numbers.h, told as calls.c tells them.
 *
 * It needs no library, because few machines have those of 32 bits.
 */

#include "numbers.h"

#define EXIT 1
#define WRITE 4
#define STDOUT 1

static void say(const char *text, long length)
{
	int80_call(WRITE, STDOUT, (long)text, length);
}

static void tell(const char *call, long number)
{
	char digits[] = " 0000\n";
	long length = 0, place;

	for (place = 4; place > 0; place--, number /= 10)
		digits[place] += number % 10;
	while (call[length])
		length++;
	say(call, length);
	say(digits, sizeof(digits) - 1);
}

void _start(void)
{
	const struct call *call;

	for (call = calls; call->name; call++)
		tell(call->name, -make(call));
	int80_call(EXIT, 0, 0, 0);
}
