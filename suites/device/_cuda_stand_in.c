/* A stand-in for CUDA's driver library in tests. The environment defines the cards:
   STAND_IN_CARDS   name@bus;name@bus in CUDA's order
   STAND_IN_ERROR   name of the function that gives error 999
   STAND_IN_SLEEP   seconds that a context takes
   STAND_IN_LOG     file that gets a line for each context made and given back */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int fails(const char *name) {
  const char *wanted = getenv("STAND_IN_ERROR");
  return wanted && strcmp(wanted, name) == 0 ? 999 : 0;
}

static void note(const char *what, int device) {
  FILE *file = fopen(getenv("STAND_IN_LOG"), "a");
  fprintf(file, "%s %d\n", what, device);
  fclose(file);
}

/* Field 0 or 1 of a card; the number of cards where the text is null. */
static int card(int wanted, int field, char *text, int size) {
  char all[1024];
  strncpy(all, getenv("STAND_IN_CARDS"), sizeof all - 1);
  all[sizeof all - 1] = 0;
  int count = 0;
  for (char *rest = all, *one; (one = strtok_r(rest, ";", &rest)); count++) {
    if (!text || count != wanted) continue;
    char *bus = strchr(one, '@');
    *bus = 0;
    snprintf(text, size, "%s", field ? bus + 1 : one);
  }
  return count;
}

int cuInit(unsigned flags) { return flags ? 1 : fails("cuInit"); }
int cuDeviceGetCount(int *count) {
  *count = card(0, 0, NULL, 0);
  return fails("cuDeviceGetCount");
}
/* Handles need not be indices. */
int cuDeviceGet(int *device, int i) {
  *device = 40 + i;
  return fails("cuDeviceGet");
}
int cuDeviceGetName(char *text, int size, int device) {
  card(device - 40, 0, text, size);
  return fails("cuDeviceGetName");
}
int cuDeviceGetPCIBusId(char *text, int size, int device) {
  card(device - 40, 1, text, size);
  return fails("cuDeviceGetPCIBusId");
}
int cuDevicePrimaryCtxRetain(void **context, int device) {
  const char *seconds = getenv("STAND_IN_SLEEP");
  if (seconds) sleep(atoi(seconds));
  note("retain", device - 40);
  *context = (void *)1;
  return fails("cuDevicePrimaryCtxRetain");
}
int cuDevicePrimaryCtxRelease_v2(int device) {
  note("release", device - 40);
  return fails("cuDevicePrimaryCtxRelease_v2");
}
