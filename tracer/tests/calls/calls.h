/* What the files of this program share. */

#ifndef CALLS_H
#define CALLS_H

/* Tells what a call gave: its name and an errno, or a count; on a line of its own. */
void tell(const char *call, long number);

/* The errno of a call that returned -1, else 0. */
int failure(long result);

/* Ends the program: nothing can be tested here. */
void skip(const char *why);

/* Ends the program: something failed that is not what is tested. */
void broken(const char *what);

/* A connection to this port of loopback. */
int connection(int port);

/* Returns when the peer has reset this connection; no call has told so yet. */
void await_reset(int fd);

/* Uses a connection through io_uring: `operation` and `mode` are what uring.c names. */
void use_uring(const char *operation, const char *mode, int port);

#endif
