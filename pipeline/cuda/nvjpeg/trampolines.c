/* Written by generate.py from the declarations of nvjpeg-sys; not to be edited. See loader.c. */

#include <stddef.h>

#include "loader.h"

typedef unsigned int nvjpegStatus_t;
typedef unsigned int libraryPropertyType_t;
typedef libraryPropertyType_t libraryPropertyType;
typedef unsigned int nvjpegBackend_t;
typedef struct nvjpegDevAllocator_t nvjpegDevAllocator_t;
typedef struct nvjpegHandle nvjpegHandle;
typedef nvjpegHandle *nvjpegHandle_t;
typedef struct nvjpegPinnedAllocator_t nvjpegPinnedAllocator_t;
typedef struct nvjpegDevAllocatorV2_t nvjpegDevAllocatorV2_t;
typedef struct nvjpegPinnedAllocatorV2_t nvjpegPinnedAllocatorV2_t;
typedef struct nvjpegJpegState nvjpegJpegState;
typedef nvjpegJpegState *nvjpegJpegState_t;
typedef int nvjpegChromaSubsampling_t;
typedef unsigned int nvjpegOutputFormat_t;
typedef struct nvjpegImage_t nvjpegImage_t;
typedef struct CUstream_st CUstream_st;
typedef CUstream_st *cudaStream_t;
typedef struct nvjpegEncoderState nvjpegEncoderState;
typedef nvjpegEncoderState *nvjpegEncoderState_t;
typedef struct nvjpegEncoderParams nvjpegEncoderParams;
typedef nvjpegEncoderParams *nvjpegEncoderParams_t;
typedef unsigned int nvjpegJpegEncoding_t;
typedef unsigned int nvjpegInputFormat_t;
typedef struct nvjpegBufferPinned nvjpegBufferPinned;
typedef nvjpegBufferPinned *nvjpegBufferPinned_t;
typedef struct nvjpegBufferDevice nvjpegBufferDevice;
typedef nvjpegBufferDevice *nvjpegBufferDevice_t;
typedef struct nvjpegJpegStream nvjpegJpegStream;
typedef nvjpegJpegStream *nvjpegJpegStream_t;
typedef unsigned int nvjpegExifOrientation;
typedef nvjpegExifOrientation nvjpegExifOrientation_t;
typedef struct nvjpegDecodeParams nvjpegDecodeParams;
typedef nvjpegDecodeParams *nvjpegDecodeParams_t;
typedef unsigned int nvjpegScaleFactor_t;
typedef struct nvjpegJpegDecoder nvjpegJpegDecoder;
typedef nvjpegJpegDecoder *nvjpegJpegDecoder_t;

const char *const smog_nvjpeg_names[] = {
    "nvjpegGetProperty",
    "nvjpegGetCudartProperty",
    "nvjpegCreate",
    "nvjpegCreateSimple",
    "nvjpegCreateEx",
    "nvjpegCreateExV2",
    "nvjpegDestroy",
    "nvjpegSetDeviceMemoryPadding",
    "nvjpegGetDeviceMemoryPadding",
    "nvjpegSetPinnedMemoryPadding",
    "nvjpegGetPinnedMemoryPadding",
    "nvjpegGetHardwareDecoderInfo",
    "nvjpegJpegStateCreate",
    "nvjpegJpegStateDestroy",
    "nvjpegGetImageInfo",
    "nvjpegDecode",
    "nvjpegDecodeBatchedInitialize",
    "nvjpegDecodeBatched",
    "nvjpegDecodeBatchedPreAllocate",
    "nvjpegDecodeBatchedParseJpegTables",
    "nvjpegEncoderStateCreate",
    "nvjpegEncoderStateDestroy",
    "nvjpegEncoderParamsCreate",
    "nvjpegEncoderParamsDestroy",
    "nvjpegEncoderParamsSetQuality",
    "nvjpegEncoderParamsSetEncoding",
    "nvjpegEncoderParamsSetOptimizedHuffman",
    "nvjpegEncoderParamsSetSamplingFactors",
    "nvjpegEncodeGetBufferSize",
    "nvjpegEncodeYUV",
    "nvjpegEncodeImage",
    "nvjpegEncodeRetrieveBitstreamDevice",
    "nvjpegEncodeRetrieveBitstream",
    "nvjpegBufferPinnedCreate",
    "nvjpegBufferPinnedCreateV2",
    "nvjpegBufferPinnedDestroy",
    "nvjpegBufferDeviceCreate",
    "nvjpegBufferDeviceCreateV2",
    "nvjpegBufferDeviceDestroy",
    "nvjpegBufferPinnedRetrieve",
    "nvjpegBufferDeviceRetrieve",
    "nvjpegStateAttachPinnedBuffer",
    "nvjpegStateAttachDeviceBuffer",
    "nvjpegJpegStreamCreate",
    "nvjpegJpegStreamDestroy",
    "nvjpegJpegStreamParse",
    "nvjpegJpegStreamParseHeader",
    "nvjpegJpegStreamParseTables",
    "nvjpegJpegStreamGetJpegEncoding",
    "nvjpegJpegStreamGetFrameDimensions",
    "nvjpegJpegStreamGetComponentsNum",
    "nvjpegJpegStreamGetComponentDimensions",
    "nvjpegJpegStreamGetExifOrientation",
    "nvjpegJpegStreamGetChromaSubsampling",
    "nvjpegDecodeParamsCreate",
    "nvjpegDecodeParamsDestroy",
    "nvjpegDecodeParamsSetOutputFormat",
    "nvjpegDecodeParamsSetROI",
    "nvjpegDecodeParamsSetAllowCMYK",
    "nvjpegDecodeParamsSetScaleFactor",
    "nvjpegDecodeParamsSetExifOrientation",
    "nvjpegDecoderCreate",
    "nvjpegDecoderDestroy",
    "nvjpegDecoderJpegSupported",
    "nvjpegDecodeBatchedSupported",
    "nvjpegDecodeBatchedSupportedEx",
    "nvjpegDecoderStateCreate",
    "nvjpegDecodeJpeg",
    "nvjpegDecodeJpegHost",
    "nvjpegDecodeJpegTransferToDevice",
    "nvjpegDecodeJpegDevice",
    "nvjpegDecodeBatchedEx",
    "nvjpegEncoderParamsCopyMetadata",
    "nvjpegEncoderParamsCopyQuantizationTables",
    "nvjpegEncoderParamsCopyHuffmanTables",
};

const unsigned smog_nvjpeg_num_names = 75;
_Static_assert(75 <= SMOG_NVJPEG_MAX, "raise SMOG_NVJPEG_MAX in loader.h");

nvjpegStatus_t nvjpegGetProperty(libraryPropertyType type_, int *value) {
    nvjpegStatus_t (*real)(libraryPropertyType, int *) = smog_nvjpeg_function(0);
    return real ? real(type_, value) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegGetCudartProperty(libraryPropertyType type_, int *value) {
    nvjpegStatus_t (*real)(libraryPropertyType, int *) = smog_nvjpeg_function(1);
    return real ? real(type_, value) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegCreate(nvjpegBackend_t backend, nvjpegDevAllocator_t *dev_allocator, nvjpegHandle_t *handle) {
    nvjpegStatus_t (*real)(nvjpegBackend_t, nvjpegDevAllocator_t *, nvjpegHandle_t *) = smog_nvjpeg_function(2);
    return real ? real(backend, dev_allocator, handle) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegCreateSimple(nvjpegHandle_t *handle) {
    nvjpegStatus_t (*real)(nvjpegHandle_t *) = smog_nvjpeg_function(3);
    return real ? real(handle) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegCreateEx(nvjpegBackend_t backend, nvjpegDevAllocator_t *dev_allocator, nvjpegPinnedAllocator_t *pinned_allocator, unsigned int flags, nvjpegHandle_t *handle) {
    nvjpegStatus_t (*real)(nvjpegBackend_t, nvjpegDevAllocator_t *, nvjpegPinnedAllocator_t *, unsigned int, nvjpegHandle_t *) = smog_nvjpeg_function(4);
    return real ? real(backend, dev_allocator, pinned_allocator, flags, handle) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegCreateExV2(nvjpegBackend_t backend, nvjpegDevAllocatorV2_t *dev_allocator, nvjpegPinnedAllocatorV2_t *pinned_allocator, unsigned int flags, nvjpegHandle_t *handle) {
    nvjpegStatus_t (*real)(nvjpegBackend_t, nvjpegDevAllocatorV2_t *, nvjpegPinnedAllocatorV2_t *, unsigned int, nvjpegHandle_t *) = smog_nvjpeg_function(5);
    return real ? real(backend, dev_allocator, pinned_allocator, flags, handle) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegDestroy(nvjpegHandle_t handle) {
    nvjpegStatus_t (*real)(nvjpegHandle_t) = smog_nvjpeg_function(6);
    return real ? real(handle) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegSetDeviceMemoryPadding(size_t padding, nvjpegHandle_t handle) {
    nvjpegStatus_t (*real)(size_t, nvjpegHandle_t) = smog_nvjpeg_function(7);
    return real ? real(padding, handle) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegGetDeviceMemoryPadding(size_t *padding, nvjpegHandle_t handle) {
    nvjpegStatus_t (*real)(size_t *, nvjpegHandle_t) = smog_nvjpeg_function(8);
    return real ? real(padding, handle) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegSetPinnedMemoryPadding(size_t padding, nvjpegHandle_t handle) {
    nvjpegStatus_t (*real)(size_t, nvjpegHandle_t) = smog_nvjpeg_function(9);
    return real ? real(padding, handle) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegGetPinnedMemoryPadding(size_t *padding, nvjpegHandle_t handle) {
    nvjpegStatus_t (*real)(size_t *, nvjpegHandle_t) = smog_nvjpeg_function(10);
    return real ? real(padding, handle) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegGetHardwareDecoderInfo(nvjpegHandle_t handle, unsigned int *num_engines, unsigned int *num_cores_per_engine) {
    nvjpegStatus_t (*real)(nvjpegHandle_t, unsigned int *, unsigned int *) = smog_nvjpeg_function(11);
    return real ? real(handle, num_engines, num_cores_per_engine) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegJpegStateCreate(nvjpegHandle_t handle, nvjpegJpegState_t *jpeg_handle) {
    nvjpegStatus_t (*real)(nvjpegHandle_t, nvjpegJpegState_t *) = smog_nvjpeg_function(12);
    return real ? real(handle, jpeg_handle) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegJpegStateDestroy(nvjpegJpegState_t jpeg_handle) {
    nvjpegStatus_t (*real)(nvjpegJpegState_t) = smog_nvjpeg_function(13);
    return real ? real(jpeg_handle) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegGetImageInfo(nvjpegHandle_t handle, unsigned char const *data, size_t length, int *nComponents, nvjpegChromaSubsampling_t *subsampling, int *widths, int *heights) {
    nvjpegStatus_t (*real)(nvjpegHandle_t, unsigned char const *, size_t, int *, nvjpegChromaSubsampling_t *, int *, int *) = smog_nvjpeg_function(14);
    return real ? real(handle, data, length, nComponents, subsampling, widths, heights) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegDecode(nvjpegHandle_t handle, nvjpegJpegState_t jpeg_handle, unsigned char const *data, size_t length, nvjpegOutputFormat_t output_format, nvjpegImage_t *destination, cudaStream_t stream) {
    nvjpegStatus_t (*real)(nvjpegHandle_t, nvjpegJpegState_t, unsigned char const *, size_t, nvjpegOutputFormat_t, nvjpegImage_t *, cudaStream_t) = smog_nvjpeg_function(15);
    return real ? real(handle, jpeg_handle, data, length, output_format, destination, stream) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegDecodeBatchedInitialize(nvjpegHandle_t handle, nvjpegJpegState_t jpeg_handle, int batch_size, int max_cpu_threads, nvjpegOutputFormat_t output_format) {
    nvjpegStatus_t (*real)(nvjpegHandle_t, nvjpegJpegState_t, int, int, nvjpegOutputFormat_t) = smog_nvjpeg_function(16);
    return real ? real(handle, jpeg_handle, batch_size, max_cpu_threads, output_format) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegDecodeBatched(nvjpegHandle_t handle, nvjpegJpegState_t jpeg_handle, unsigned char const * const *data, size_t const *lengths, nvjpegImage_t *destinations, cudaStream_t stream) {
    nvjpegStatus_t (*real)(nvjpegHandle_t, nvjpegJpegState_t, unsigned char const * const *, size_t const *, nvjpegImage_t *, cudaStream_t) = smog_nvjpeg_function(17);
    return real ? real(handle, jpeg_handle, data, lengths, destinations, stream) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegDecodeBatchedPreAllocate(nvjpegHandle_t handle, nvjpegJpegState_t jpeg_handle, int batch_size, int width, int height, nvjpegChromaSubsampling_t chroma_subsampling, nvjpegOutputFormat_t output_format) {
    nvjpegStatus_t (*real)(nvjpegHandle_t, nvjpegJpegState_t, int, int, int, nvjpegChromaSubsampling_t, nvjpegOutputFormat_t) = smog_nvjpeg_function(18);
    return real ? real(handle, jpeg_handle, batch_size, width, height, chroma_subsampling, output_format) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegDecodeBatchedParseJpegTables(nvjpegHandle_t handle, nvjpegJpegState_t jpeg_handle, unsigned char const *data, size_t length) {
    nvjpegStatus_t (*real)(nvjpegHandle_t, nvjpegJpegState_t, unsigned char const *, size_t) = smog_nvjpeg_function(19);
    return real ? real(handle, jpeg_handle, data, length) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegEncoderStateCreate(nvjpegHandle_t handle, nvjpegEncoderState_t *encoder_state, cudaStream_t stream) {
    nvjpegStatus_t (*real)(nvjpegHandle_t, nvjpegEncoderState_t *, cudaStream_t) = smog_nvjpeg_function(20);
    return real ? real(handle, encoder_state, stream) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegEncoderStateDestroy(nvjpegEncoderState_t encoder_state) {
    nvjpegStatus_t (*real)(nvjpegEncoderState_t) = smog_nvjpeg_function(21);
    return real ? real(encoder_state) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegEncoderParamsCreate(nvjpegHandle_t handle, nvjpegEncoderParams_t *encoder_params, cudaStream_t stream) {
    nvjpegStatus_t (*real)(nvjpegHandle_t, nvjpegEncoderParams_t *, cudaStream_t) = smog_nvjpeg_function(22);
    return real ? real(handle, encoder_params, stream) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegEncoderParamsDestroy(nvjpegEncoderParams_t encoder_params) {
    nvjpegStatus_t (*real)(nvjpegEncoderParams_t) = smog_nvjpeg_function(23);
    return real ? real(encoder_params) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegEncoderParamsSetQuality(nvjpegEncoderParams_t encoder_params, int quality, cudaStream_t stream) {
    nvjpegStatus_t (*real)(nvjpegEncoderParams_t, int, cudaStream_t) = smog_nvjpeg_function(24);
    return real ? real(encoder_params, quality, stream) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegEncoderParamsSetEncoding(nvjpegEncoderParams_t encoder_params, nvjpegJpegEncoding_t etype, cudaStream_t stream) {
    nvjpegStatus_t (*real)(nvjpegEncoderParams_t, nvjpegJpegEncoding_t, cudaStream_t) = smog_nvjpeg_function(25);
    return real ? real(encoder_params, etype, stream) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegEncoderParamsSetOptimizedHuffman(nvjpegEncoderParams_t encoder_params, int optimized, cudaStream_t stream) {
    nvjpegStatus_t (*real)(nvjpegEncoderParams_t, int, cudaStream_t) = smog_nvjpeg_function(26);
    return real ? real(encoder_params, optimized, stream) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegEncoderParamsSetSamplingFactors(nvjpegEncoderParams_t encoder_params, nvjpegChromaSubsampling_t chroma_subsampling, cudaStream_t stream) {
    nvjpegStatus_t (*real)(nvjpegEncoderParams_t, nvjpegChromaSubsampling_t, cudaStream_t) = smog_nvjpeg_function(27);
    return real ? real(encoder_params, chroma_subsampling, stream) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegEncodeGetBufferSize(nvjpegHandle_t handle, nvjpegEncoderParams_t encoder_params, int image_width, int image_height, size_t *max_stream_length) {
    nvjpegStatus_t (*real)(nvjpegHandle_t, nvjpegEncoderParams_t, int, int, size_t *) = smog_nvjpeg_function(28);
    return real ? real(handle, encoder_params, image_width, image_height, max_stream_length) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegEncodeYUV(nvjpegHandle_t handle, nvjpegEncoderState_t encoder_state, nvjpegEncoderParams_t encoder_params, nvjpegImage_t const *source, nvjpegChromaSubsampling_t chroma_subsampling, int image_width, int image_height, cudaStream_t stream) {
    nvjpegStatus_t (*real)(nvjpegHandle_t, nvjpegEncoderState_t, nvjpegEncoderParams_t, nvjpegImage_t const *, nvjpegChromaSubsampling_t, int, int, cudaStream_t) = smog_nvjpeg_function(29);
    return real ? real(handle, encoder_state, encoder_params, source, chroma_subsampling, image_width, image_height, stream) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegEncodeImage(nvjpegHandle_t handle, nvjpegEncoderState_t encoder_state, nvjpegEncoderParams_t encoder_params, nvjpegImage_t const *source, nvjpegInputFormat_t input_format, int image_width, int image_height, cudaStream_t stream) {
    nvjpegStatus_t (*real)(nvjpegHandle_t, nvjpegEncoderState_t, nvjpegEncoderParams_t, nvjpegImage_t const *, nvjpegInputFormat_t, int, int, cudaStream_t) = smog_nvjpeg_function(30);
    return real ? real(handle, encoder_state, encoder_params, source, input_format, image_width, image_height, stream) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegEncodeRetrieveBitstreamDevice(nvjpegHandle_t handle, nvjpegEncoderState_t encoder_state, unsigned char *data, size_t *length, cudaStream_t stream) {
    nvjpegStatus_t (*real)(nvjpegHandle_t, nvjpegEncoderState_t, unsigned char *, size_t *, cudaStream_t) = smog_nvjpeg_function(31);
    return real ? real(handle, encoder_state, data, length, stream) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegEncodeRetrieveBitstream(nvjpegHandle_t handle, nvjpegEncoderState_t encoder_state, unsigned char *data, size_t *length, cudaStream_t stream) {
    nvjpegStatus_t (*real)(nvjpegHandle_t, nvjpegEncoderState_t, unsigned char *, size_t *, cudaStream_t) = smog_nvjpeg_function(32);
    return real ? real(handle, encoder_state, data, length, stream) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegBufferPinnedCreate(nvjpegHandle_t handle, nvjpegPinnedAllocator_t *pinned_allocator, nvjpegBufferPinned_t *buffer) {
    nvjpegStatus_t (*real)(nvjpegHandle_t, nvjpegPinnedAllocator_t *, nvjpegBufferPinned_t *) = smog_nvjpeg_function(33);
    return real ? real(handle, pinned_allocator, buffer) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegBufferPinnedCreateV2(nvjpegHandle_t handle, nvjpegPinnedAllocatorV2_t *pinned_allocator, nvjpegBufferPinned_t *buffer) {
    nvjpegStatus_t (*real)(nvjpegHandle_t, nvjpegPinnedAllocatorV2_t *, nvjpegBufferPinned_t *) = smog_nvjpeg_function(34);
    return real ? real(handle, pinned_allocator, buffer) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegBufferPinnedDestroy(nvjpegBufferPinned_t buffer) {
    nvjpegStatus_t (*real)(nvjpegBufferPinned_t) = smog_nvjpeg_function(35);
    return real ? real(buffer) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegBufferDeviceCreate(nvjpegHandle_t handle, nvjpegDevAllocator_t *device_allocator, nvjpegBufferDevice_t *buffer) {
    nvjpegStatus_t (*real)(nvjpegHandle_t, nvjpegDevAllocator_t *, nvjpegBufferDevice_t *) = smog_nvjpeg_function(36);
    return real ? real(handle, device_allocator, buffer) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegBufferDeviceCreateV2(nvjpegHandle_t handle, nvjpegDevAllocatorV2_t *device_allocator, nvjpegBufferDevice_t *buffer) {
    nvjpegStatus_t (*real)(nvjpegHandle_t, nvjpegDevAllocatorV2_t *, nvjpegBufferDevice_t *) = smog_nvjpeg_function(37);
    return real ? real(handle, device_allocator, buffer) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegBufferDeviceDestroy(nvjpegBufferDevice_t buffer) {
    nvjpegStatus_t (*real)(nvjpegBufferDevice_t) = smog_nvjpeg_function(38);
    return real ? real(buffer) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegBufferPinnedRetrieve(nvjpegBufferPinned_t buffer, size_t *size, void * *ptr) {
    nvjpegStatus_t (*real)(nvjpegBufferPinned_t, size_t *, void * *) = smog_nvjpeg_function(39);
    return real ? real(buffer, size, ptr) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegBufferDeviceRetrieve(nvjpegBufferDevice_t buffer, size_t *size, void * *ptr) {
    nvjpegStatus_t (*real)(nvjpegBufferDevice_t, size_t *, void * *) = smog_nvjpeg_function(40);
    return real ? real(buffer, size, ptr) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegStateAttachPinnedBuffer(nvjpegJpegState_t decoder_state, nvjpegBufferPinned_t pinned_buffer) {
    nvjpegStatus_t (*real)(nvjpegJpegState_t, nvjpegBufferPinned_t) = smog_nvjpeg_function(41);
    return real ? real(decoder_state, pinned_buffer) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegStateAttachDeviceBuffer(nvjpegJpegState_t decoder_state, nvjpegBufferDevice_t device_buffer) {
    nvjpegStatus_t (*real)(nvjpegJpegState_t, nvjpegBufferDevice_t) = smog_nvjpeg_function(42);
    return real ? real(decoder_state, device_buffer) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegJpegStreamCreate(nvjpegHandle_t handle, nvjpegJpegStream_t *jpeg_stream) {
    nvjpegStatus_t (*real)(nvjpegHandle_t, nvjpegJpegStream_t *) = smog_nvjpeg_function(43);
    return real ? real(handle, jpeg_stream) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegJpegStreamDestroy(nvjpegJpegStream_t jpeg_stream) {
    nvjpegStatus_t (*real)(nvjpegJpegStream_t) = smog_nvjpeg_function(44);
    return real ? real(jpeg_stream) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegJpegStreamParse(nvjpegHandle_t handle, unsigned char const *data, size_t length, int save_metadata, int save_stream, nvjpegJpegStream_t jpeg_stream) {
    nvjpegStatus_t (*real)(nvjpegHandle_t, unsigned char const *, size_t, int, int, nvjpegJpegStream_t) = smog_nvjpeg_function(45);
    return real ? real(handle, data, length, save_metadata, save_stream, jpeg_stream) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegJpegStreamParseHeader(nvjpegHandle_t handle, unsigned char const *data, size_t length, nvjpegJpegStream_t jpeg_stream) {
    nvjpegStatus_t (*real)(nvjpegHandle_t, unsigned char const *, size_t, nvjpegJpegStream_t) = smog_nvjpeg_function(46);
    return real ? real(handle, data, length, jpeg_stream) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegJpegStreamParseTables(nvjpegHandle_t handle, unsigned char const *data, size_t length, nvjpegJpegStream_t jpeg_stream) {
    nvjpegStatus_t (*real)(nvjpegHandle_t, unsigned char const *, size_t, nvjpegJpegStream_t) = smog_nvjpeg_function(47);
    return real ? real(handle, data, length, jpeg_stream) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegJpegStreamGetJpegEncoding(nvjpegJpegStream_t jpeg_stream, nvjpegJpegEncoding_t *jpeg_encoding) {
    nvjpegStatus_t (*real)(nvjpegJpegStream_t, nvjpegJpegEncoding_t *) = smog_nvjpeg_function(48);
    return real ? real(jpeg_stream, jpeg_encoding) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegJpegStreamGetFrameDimensions(nvjpegJpegStream_t jpeg_stream, unsigned int *width, unsigned int *height) {
    nvjpegStatus_t (*real)(nvjpegJpegStream_t, unsigned int *, unsigned int *) = smog_nvjpeg_function(49);
    return real ? real(jpeg_stream, width, height) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegJpegStreamGetComponentsNum(nvjpegJpegStream_t jpeg_stream, unsigned int *components_num) {
    nvjpegStatus_t (*real)(nvjpegJpegStream_t, unsigned int *) = smog_nvjpeg_function(50);
    return real ? real(jpeg_stream, components_num) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegJpegStreamGetComponentDimensions(nvjpegJpegStream_t jpeg_stream, unsigned int component, unsigned int *width, unsigned int *height) {
    nvjpegStatus_t (*real)(nvjpegJpegStream_t, unsigned int, unsigned int *, unsigned int *) = smog_nvjpeg_function(51);
    return real ? real(jpeg_stream, component, width, height) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegJpegStreamGetExifOrientation(nvjpegJpegStream_t jpeg_stream, nvjpegExifOrientation_t *orientation_flag) {
    nvjpegStatus_t (*real)(nvjpegJpegStream_t, nvjpegExifOrientation_t *) = smog_nvjpeg_function(52);
    return real ? real(jpeg_stream, orientation_flag) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegJpegStreamGetChromaSubsampling(nvjpegJpegStream_t jpeg_stream, nvjpegChromaSubsampling_t *chroma_subsampling) {
    nvjpegStatus_t (*real)(nvjpegJpegStream_t, nvjpegChromaSubsampling_t *) = smog_nvjpeg_function(53);
    return real ? real(jpeg_stream, chroma_subsampling) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegDecodeParamsCreate(nvjpegHandle_t handle, nvjpegDecodeParams_t *decode_params) {
    nvjpegStatus_t (*real)(nvjpegHandle_t, nvjpegDecodeParams_t *) = smog_nvjpeg_function(54);
    return real ? real(handle, decode_params) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegDecodeParamsDestroy(nvjpegDecodeParams_t decode_params) {
    nvjpegStatus_t (*real)(nvjpegDecodeParams_t) = smog_nvjpeg_function(55);
    return real ? real(decode_params) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegDecodeParamsSetOutputFormat(nvjpegDecodeParams_t decode_params, nvjpegOutputFormat_t output_format) {
    nvjpegStatus_t (*real)(nvjpegDecodeParams_t, nvjpegOutputFormat_t) = smog_nvjpeg_function(56);
    return real ? real(decode_params, output_format) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegDecodeParamsSetROI(nvjpegDecodeParams_t decode_params, int offset_x, int offset_y, int roi_width, int roi_height) {
    nvjpegStatus_t (*real)(nvjpegDecodeParams_t, int, int, int, int) = smog_nvjpeg_function(57);
    return real ? real(decode_params, offset_x, offset_y, roi_width, roi_height) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegDecodeParamsSetAllowCMYK(nvjpegDecodeParams_t decode_params, int allow_cmyk) {
    nvjpegStatus_t (*real)(nvjpegDecodeParams_t, int) = smog_nvjpeg_function(58);
    return real ? real(decode_params, allow_cmyk) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegDecodeParamsSetScaleFactor(nvjpegDecodeParams_t decode_params, nvjpegScaleFactor_t scale_factor) {
    nvjpegStatus_t (*real)(nvjpegDecodeParams_t, nvjpegScaleFactor_t) = smog_nvjpeg_function(59);
    return real ? real(decode_params, scale_factor) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegDecodeParamsSetExifOrientation(nvjpegDecodeParams_t decode_params, nvjpegExifOrientation_t orientation) {
    nvjpegStatus_t (*real)(nvjpegDecodeParams_t, nvjpegExifOrientation_t) = smog_nvjpeg_function(60);
    return real ? real(decode_params, orientation) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegDecoderCreate(nvjpegHandle_t nvjpeg_handle, nvjpegBackend_t implementation, nvjpegJpegDecoder_t *decoder_handle) {
    nvjpegStatus_t (*real)(nvjpegHandle_t, nvjpegBackend_t, nvjpegJpegDecoder_t *) = smog_nvjpeg_function(61);
    return real ? real(nvjpeg_handle, implementation, decoder_handle) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegDecoderDestroy(nvjpegJpegDecoder_t decoder_handle) {
    nvjpegStatus_t (*real)(nvjpegJpegDecoder_t) = smog_nvjpeg_function(62);
    return real ? real(decoder_handle) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegDecoderJpegSupported(nvjpegJpegDecoder_t decoder_handle, nvjpegJpegStream_t jpeg_stream, nvjpegDecodeParams_t decode_params, int *is_supported) {
    nvjpegStatus_t (*real)(nvjpegJpegDecoder_t, nvjpegJpegStream_t, nvjpegDecodeParams_t, int *) = smog_nvjpeg_function(63);
    return real ? real(decoder_handle, jpeg_stream, decode_params, is_supported) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegDecodeBatchedSupported(nvjpegHandle_t handle, nvjpegJpegStream_t jpeg_stream, int *is_supported) {
    nvjpegStatus_t (*real)(nvjpegHandle_t, nvjpegJpegStream_t, int *) = smog_nvjpeg_function(64);
    return real ? real(handle, jpeg_stream, is_supported) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegDecodeBatchedSupportedEx(nvjpegHandle_t handle, nvjpegJpegStream_t jpeg_stream, nvjpegDecodeParams_t decode_params, int *is_supported) {
    nvjpegStatus_t (*real)(nvjpegHandle_t, nvjpegJpegStream_t, nvjpegDecodeParams_t, int *) = smog_nvjpeg_function(65);
    return real ? real(handle, jpeg_stream, decode_params, is_supported) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegDecoderStateCreate(nvjpegHandle_t nvjpeg_handle, nvjpegJpegDecoder_t decoder_handle, nvjpegJpegState_t *decoder_state) {
    nvjpegStatus_t (*real)(nvjpegHandle_t, nvjpegJpegDecoder_t, nvjpegJpegState_t *) = smog_nvjpeg_function(66);
    return real ? real(nvjpeg_handle, decoder_handle, decoder_state) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegDecodeJpeg(nvjpegHandle_t handle, nvjpegJpegDecoder_t decoder, nvjpegJpegState_t decoder_state, nvjpegJpegStream_t jpeg_bitstream, nvjpegImage_t *destination, nvjpegDecodeParams_t decode_params, cudaStream_t stream) {
    nvjpegStatus_t (*real)(nvjpegHandle_t, nvjpegJpegDecoder_t, nvjpegJpegState_t, nvjpegJpegStream_t, nvjpegImage_t *, nvjpegDecodeParams_t, cudaStream_t) = smog_nvjpeg_function(67);
    return real ? real(handle, decoder, decoder_state, jpeg_bitstream, destination, decode_params, stream) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegDecodeJpegHost(nvjpegHandle_t handle, nvjpegJpegDecoder_t decoder, nvjpegJpegState_t decoder_state, nvjpegDecodeParams_t decode_params, nvjpegJpegStream_t jpeg_stream) {
    nvjpegStatus_t (*real)(nvjpegHandle_t, nvjpegJpegDecoder_t, nvjpegJpegState_t, nvjpegDecodeParams_t, nvjpegJpegStream_t) = smog_nvjpeg_function(68);
    return real ? real(handle, decoder, decoder_state, decode_params, jpeg_stream) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegDecodeJpegTransferToDevice(nvjpegHandle_t handle, nvjpegJpegDecoder_t decoder, nvjpegJpegState_t decoder_state, nvjpegJpegStream_t jpeg_stream, cudaStream_t stream) {
    nvjpegStatus_t (*real)(nvjpegHandle_t, nvjpegJpegDecoder_t, nvjpegJpegState_t, nvjpegJpegStream_t, cudaStream_t) = smog_nvjpeg_function(69);
    return real ? real(handle, decoder, decoder_state, jpeg_stream, stream) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegDecodeJpegDevice(nvjpegHandle_t handle, nvjpegJpegDecoder_t decoder, nvjpegJpegState_t decoder_state, nvjpegImage_t *destination, cudaStream_t stream) {
    nvjpegStatus_t (*real)(nvjpegHandle_t, nvjpegJpegDecoder_t, nvjpegJpegState_t, nvjpegImage_t *, cudaStream_t) = smog_nvjpeg_function(70);
    return real ? real(handle, decoder, decoder_state, destination, stream) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegDecodeBatchedEx(nvjpegHandle_t handle, nvjpegJpegState_t jpeg_handle, unsigned char const * const *data, size_t const *lengths, nvjpegImage_t *destinations, nvjpegDecodeParams_t *decode_params, cudaStream_t stream) {
    nvjpegStatus_t (*real)(nvjpegHandle_t, nvjpegJpegState_t, unsigned char const * const *, size_t const *, nvjpegImage_t *, nvjpegDecodeParams_t *, cudaStream_t) = smog_nvjpeg_function(71);
    return real ? real(handle, jpeg_handle, data, lengths, destinations, decode_params, stream) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegEncoderParamsCopyMetadata(nvjpegEncoderState_t encoder_state, nvjpegEncoderParams_t encode_params, nvjpegJpegStream_t jpeg_stream, cudaStream_t stream) {
    nvjpegStatus_t (*real)(nvjpegEncoderState_t, nvjpegEncoderParams_t, nvjpegJpegStream_t, cudaStream_t) = smog_nvjpeg_function(72);
    return real ? real(encoder_state, encode_params, jpeg_stream, stream) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegEncoderParamsCopyQuantizationTables(nvjpegEncoderParams_t encode_params, nvjpegJpegStream_t jpeg_stream, cudaStream_t stream) {
    nvjpegStatus_t (*real)(nvjpegEncoderParams_t, nvjpegJpegStream_t, cudaStream_t) = smog_nvjpeg_function(73);
    return real ? real(encode_params, jpeg_stream, stream) : smog_nvjpeg_missing();
}

nvjpegStatus_t nvjpegEncoderParamsCopyHuffmanTables(nvjpegEncoderState_t encoder_state, nvjpegEncoderParams_t encode_params, nvjpegJpegStream_t jpeg_stream, cudaStream_t stream) {
    nvjpegStatus_t (*real)(nvjpegEncoderState_t, nvjpegEncoderParams_t, nvjpegJpegStream_t, cudaStream_t) = smog_nvjpeg_function(74);
    return real ? real(encoder_state, encode_params, jpeg_stream, stream) : smog_nvjpeg_missing();
}
