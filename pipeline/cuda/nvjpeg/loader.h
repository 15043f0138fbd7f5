/* What trampolines.c needs of loader.c. */
#ifndef SMOG_NVJPEG_LOADER_H
#define SMOG_NVJPEG_LOADER_H

/* Room for functions; trampolines.c asserts that it suffices. */
#define SMOG_NVJPEG_MAX 96

/* Names of the functions, in the order of their trampolines. */
extern const char *const smog_nvjpeg_names[];
extern const unsigned smog_nvjpeg_num_names;

/* The function of this number in the real library, which is opened at the first call. NULL where there is none. */
void *smog_nvjpeg_function(unsigned index);
/* The status of a function that is not there. */
unsigned smog_nvjpeg_missing(void);

#endif
