// libtiff and zlib as Swift can call them: libtiff's variadic functions and its error callbacks wrapped, reading only
// from memory, with a limit on every single allocation. Needs libtiff 4.5 (TIFFOpenOptions).
#ifndef LIAISON_CTIFF_SHIM_H
#define LIAISON_CTIFF_SHIM_H
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <tiffio.h>
#include <zlib.h>

#define CTIFF_KEPT 4
#define CTIFF_TEXT 160

// The bytes a TIFF is read from and what libtiff said about them. Must outlive the handle; belongs to one thread.
typedef struct ctiff_source {
  const uint8_t *bytes;
  uint64_t count;
  uint64_t position;
  uint32_t complaints;
  char kept[CTIFF_KEPT][CTIFF_TEXT];
  char last[CTIFF_TEXT];
} ctiff_source;

static inline tmsize_t ctiff_read(thandle_t handle, void *into, tmsize_t wanted) {
  ctiff_source *s = (ctiff_source *)handle;
  if (wanted <= 0 || s->position >= s->count) return 0;
  uint64_t left = s->count - s->position;
  uint64_t n = (uint64_t)wanted < left ? (uint64_t)wanted : left;
  memcpy(into, s->bytes + s->position, n);
  s->position += n;
  return (tmsize_t)n;
}
static inline tmsize_t ctiff_write(thandle_t handle, void *from, tmsize_t count) {
  (void)handle; (void)from; (void)count;
  return 0;
}
static inline toff_t ctiff_seek(thandle_t handle, toff_t offset, int whence) {
  ctiff_source *s = (ctiff_source *)handle;
  uint64_t base = whence == SEEK_CUR ? s->position : whence == SEEK_END ? s->count : 0;
  s->position = base + offset;  // wraps on nonsense; a position past the end reads nothing
  return s->position;
}
static inline int ctiff_close_nothing(thandle_t handle) { (void)handle; return 0; }
static inline toff_t ctiff_size(thandle_t handle) { return ((ctiff_source *)handle)->count; }

static inline int ctiff_complain(TIFF *tiff, void *user, const char *module, const char *format, va_list arguments) {
  (void)tiff; (void)module;
  ctiff_source *s = (ctiff_source *)user;
  vsnprintf(s->last, CTIFF_TEXT, format, arguments);
  if (s->complaints < CTIFF_KEPT) memcpy(s->kept[s->complaints], s->last, CTIFF_TEXT);
  if (s->complaints < UINT32_MAX) s->complaints += 1;
  return 1;  // handled: nothing is printed
}

static inline const char *ctiff_kept(const ctiff_source *s, int index) { return s->kept[index]; }
static inline const char *ctiff_last(const ctiff_source *s) { return s->last; }

// "rmh": read, never memory-map, no directory yet. NULL when the header cannot be read.
static inline TIFF *ctiff_open(ctiff_source *source, tmsize_t largest_allocation) {
  TIFFOpenOptions *options = TIFFOpenOptionsAlloc();
  if (options == NULL) return NULL;
  TIFFOpenOptionsSetMaxSingleMemAlloc(options, largest_allocation);
  TIFFOpenOptionsSetErrorHandlerExtR(options, ctiff_complain, source);
  TIFFOpenOptionsSetWarningHandlerExtR(options, ctiff_complain, source);
  TIFF *tiff = TIFFClientOpenExt("fax", "rmh", (thandle_t)source, ctiff_read, ctiff_write, ctiff_seek,
                                 ctiff_close_nothing, ctiff_size, NULL, NULL, options);
  TIFFOpenOptionsFree(options);
  return tiff;
}
static inline uint32_t ctiff_number(TIFF *tiff, uint32_t tag) {
  uint32_t value = 0;
  return TIFFGetField(tiff, tag, &value) ? value : 0;
}
static inline uint16_t ctiff_short(TIFF *tiff, uint32_t tag) {
  uint16_t value = 0;
  return TIFFGetFieldDefaulted(tiff, tag, &value) ? value : 0;
}
#endif
