/*
 * A subscriber made of nothing but C and the system's libzmq: what a stranger would
 * write to receive the logs.
 *
 *   subscriber bind|connect ENDPOINT COUNT TIMEOUT_MS [TOPIC]
 *
 * Prints each message as PATH<TAB>JSON until COUNT have come or TIMEOUT_MS have
 * passed (COUNT 0: until the time is up). Says "ready" on stderr once the socket is
 * bound or connected.
 *
 * Exit status: 0 all came (or COUNT 0), 1 time is up, 2 a message does not have
 * exactly two frames, 3 wrong arguments or a ZeroMQ error.
 */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zmq.h>

static long long now_ms(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (long long)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int fail(const char* what) {
    fprintf(stderr, "subscriber: %s: %s\n", what, zmq_strerror(zmq_errno()));
    return 3;
}

/* Receives one message and prints it: 0 printed, 1 nothing there, else an exit status. */
static int print_message(void* socket) {
    int frames = 0;
    int more = 1;

    while (more) {
        zmq_msg_t frame;
        zmq_msg_init(&frame);
        if (zmq_msg_recv(&frame, socket, frames == 0 ? ZMQ_DONTWAIT : 0) < 0) {
            zmq_msg_close(&frame);
            return zmq_errno() == EAGAIN || zmq_errno() == EINTR ? 1 : fail("receive");
        }
        if (frames == 1)
            putchar('\t');
        fwrite(zmq_msg_data(&frame), 1, zmq_msg_size(&frame), stdout);
        more = zmq_msg_more(&frame);
        frames++;
        zmq_msg_close(&frame);
    }

    putchar('\n');
    fflush(stdout);
    if (frames != 2) {
        fprintf(stderr, "subscriber: a message of %d frame(s), expected 2\n", frames);
        return 2;
    }
    return 0;
}

int main(int argc, char** argv) {
    if (argc < 5 || argc > 6 || (strcmp(argv[1], "bind") != 0 && strcmp(argv[1], "connect") != 0)) {
        fprintf(stderr, "usage: subscriber bind|connect ENDPOINT COUNT TIMEOUT_MS [TOPIC]\n");
        return 3;
    }
    const char* topic = argc > 5 ? argv[5] : "";
    const long count = strtol(argv[3], NULL, 10);
    const long long deadline = now_ms() + strtol(argv[4], NULL, 10);
    const int unlimited = 0;
    const int no_linger = 0;

    void* context = zmq_ctx_new();
    void* socket = zmq_socket(context, ZMQ_SUB);
    if (socket == NULL)
        return fail("socket");
    zmq_setsockopt(socket, ZMQ_RCVHWM, &unlimited, sizeof unlimited);
    zmq_setsockopt(socket, ZMQ_LINGER, &no_linger, sizeof no_linger);
    if (zmq_setsockopt(socket, ZMQ_SUBSCRIBE, topic, strlen(topic)) != 0)
        return fail("subscribe");
    if ((argv[1][0] == 'b' ? zmq_bind : zmq_connect)(socket, argv[2]) != 0)
        return fail(argv[2]);
    fprintf(stderr, "ready\n");

    long received = 0;
    int status = 0;
    while (status == 0 && (count == 0 || received < count)) {
        const long long left = deadline - now_ms();
        zmq_pollitem_t item = {socket, 0, ZMQ_POLLIN, 0};
        if (left <= 0) {
            status = 1;
            break;
        }
        if (zmq_poll(&item, 1, (long)left) < 0 && zmq_errno() != EINTR) {
            status = fail("poll");
            break;
        }
        if (item.revents & ZMQ_POLLIN) {
            const int result = print_message(socket);
            if (result == 0)
                received++;
            else if (result != 1)
                status = result;
        }
    }

    if (status == 1 && count == 0)
        status = 0;
    else if (status == 1)
        fprintf(stderr, "subscriber: time is up, %ld of %ld messages\n", received, count);
    zmq_close(socket);
    zmq_ctx_term(context);
    return status;
}
