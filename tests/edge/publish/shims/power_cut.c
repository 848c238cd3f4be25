/* A power cut for one folder: only what was fsynced survives, as a copy in another folder.
 *
 * Preload it into a process (LD_PRELOAD) with PW_FROM and PW_TO set; kill the process whenever you like, and look into PW_TO. A file that
 * was written and never synced is not there; one that was written on after its last sync is there as it was then.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void keep(int fd)
{
    const char *from = getenv("PW_FROM"), *to = getenv("PW_TO");
    char link[64], path[4096], fresh[8400], kept[8400], block[65536];
    if (!from || !to)
        return;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0)
        return;
    path[length] = 0;
    if (strncmp(path, from, strlen(from)) != 0 || path[strlen(from)] != '/' || strchr(path + strlen(from) + 1, '/'))
        return;
    snprintf(kept, sizeof kept, "%s%s", to, path + strlen(from));
    snprintf(fresh, sizeof fresh, "%s.fresh", kept);
    int in = open(path, O_RDONLY), out = open(fresh, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    for (ssize_t got; in >= 0 && out >= 0 && (got = read(in, block, sizeof block)) > 0;)
        if (write(out, block, got) != got)
            abort();
    if (in >= 0)
        close(in);
    if (out >= 0)
        close(out);
    rename(fresh, kept); /* a kill in the middle leaves the copy of the sync before */
}

static int synced(const char *name, int fd)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    int result = real(fd);
    if (result == 0)
        keep(fd);
    return result;
}

int fsync(int fd) { return synced("fsync", fd); }
int fdatasync(int fd) { return synced("fdatasync", fd); }
