// What the files of the shim share.
//
// Every function gives NULL, or a message that smog_free_message takes back: no C++ exception may cross into Rust.
// Tensors are passed as tch holds them, as pointers to at::Tensor. Only headers of the CPU half are used; on a GPU the
// dispatcher and the registered device guard find the rest when the program runs.

#pragma once

#include <torch/version.h>

#include <cstdlib>
#include <cstring>
#include <exception>

// The C++ interface is not stable between releases.
static_assert(TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR == 11, "this shim is written for libtorch 2.11");

template <typename Body> char *guarded(Body body) {
  try {
    body();
    return nullptr;
  } catch (const std::exception &error) {
    return strdup(error.what());
  } catch (...) {
    return strdup("an exception of an unknown kind");
  }
}
